// Conversion on the CPU.
#include <algorithm>

#include "kernels/common/implementation.hpp"
#include "kernels/common/runs.hpp"
#include "kernels/convert/element.hpp"
#include "kernels/convert/op.hpp"

namespace talus::kernels::convert {
namespace {

Status supports(const Node&, Diagnostic*) {
    return Status::kOk;
}
size_t packed_bytes(const Node&) {
    return 0;
}
Status prepack(const Node&, void*, Diagnostic*) {
    return Status::kOk;
}
size_t workspace_bytes(const Node&) {
    return 0;
}

template <typename From, typename To>
void convert_view(const TensorView& x, const TensorView& y) {
    int64_t strides[2][kMaxRank];
    std::copy_n(y.strides, kMaxRank, strides[0]);
    std::copy_n(x.strides, kMaxRank, strides[1]);
    const int64_t to_stride = y.rank > 0 ? y.strides[y.rank - 1] : 1;
    const int64_t from_stride = x.rank > 0 ? x.strides[x.rank - 1] : 1;
    for_each_run<2>(x.shape, x.rank, strides, [&](const int64_t* at, int64_t count) {
        To* to = y.as<To>() + at[0];
        const From* from = x.as<const From>() + at[1];
        for (int64_t i = 0; i < count; ++i)
            to[i * to_stride] = convert_element<To>(from[i * from_stride]);
    });
}

Status launch(const Node& node, const void*, void*, Diagnostic*) {
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    if (x.elements() == 0)
        return Status::kOk;
    with_element_type(x.dtype, [&](auto from) {
        with_element_type(y.dtype,
                          [&](auto to) { convert_view<decltype(from), decltype(to)>(x, y); });
    });
    return Status::kOk;
}

} // namespace

extern const HostKernel kCpu;
const HostKernel kCpu{supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::convert

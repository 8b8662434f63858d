// A device that computes like the CPU but whose memory the host must not touch: plans have to copy.
#pragma once

#include <cstring>
#include <set>

#include "sdk/runtime/device.hpp"

namespace talus::test {

// The CPU target's table with its own name, memory that is tagged, and a list of operators that it
// refuses. Copies count, so that tests see what a plan moves.
class FakeDevice final : public runtime::Device {
  public:
    FakeDevice(const char* target, std::set<std::string> refused) {
        table_ = *kernels::cpu_target();
        refused_names() = std::move(refused);
        table_.name = target;
        table_.copy = copy;
        table_.supports = supports;
        target_ = &table_;
        kernels::Diagnostic diagnostic;
        runtime::check(table_.open(0, &handle_, &diagnostic), diagnostic, target);
        info_.target = target;
        info_.name = std::string("fake ") + target;
        info_.clock = "host";
        copies() = 0;
    }
    ~FakeDevice() override { table_.close(handle_); }

    void* allocate(std::size_t bytes, runtime::Placement wanted, runtime::Placement* got) override {
        // Fresh memory holds NaNs: whatever is used without having been copied shows.
        void* memory = Device::allocate(bytes, wanted, got);
        std::memset(memory, 0xff, bytes);
        return memory;
    }

    static int& copies() {
        static int count = 0;
        return count;
    }

  private:
    static std::set<std::string>& refused_names() {
        static std::set<std::string> names;
        return names;
    }
    static kernels::Status copy(kernels::Stream* stream, void* to, const void* from,
                                std::size_t bytes, kernels::CopyKind kind,
                                kernels::Diagnostic* diagnostic) {
        ++copies();
        return kernels::cpu_target()->copy(stream, to, from, bytes, kind, diagnostic);
    }
    static kernels::Status supports(const kernels::Device* device, const kernels::Node* node,
                                    kernels::Diagnostic* reason) {
        if (refused_names().contains(node->op))
            return kernels::fail(reason, kernels::Status::kUnsupported, "no such unit: %s",
                                 node->op);
        return kernels::cpu_target()->supports(device, node, reason);
    }

    kernels::Target table_{};
};

} // namespace talus::test

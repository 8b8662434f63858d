#include "onnx_builder.hpp"

#include <cstring>

#include <onnx/onnx_pb.h>

namespace talus::test {

namespace pb = ::onnx;

struct GraphBuilder::Impl {
    pb::GraphProto graph;
};

GraphBuilder::GraphBuilder() : impl_(std::make_unique<Impl>()) {
    impl_->graph.set_name("test");
}
GraphBuilder::~GraphBuilder() = default;
GraphBuilder::GraphBuilder(GraphBuilder&&) noexcept = default;
GraphBuilder& GraphBuilder::operator=(GraphBuilder&&) noexcept = default;

namespace {

void fill(pb::ValueInfoProto& value, const std::string& name, int dtype,
          const std::vector<D>& shape) {
    value.set_name(name);
    auto* type = value.mutable_type()->mutable_tensor_type();
    type->set_elem_type(dtype);
    auto* dims = type->mutable_shape();
    for (const D& dim : shape) {
        auto* to = dims->add_dim();
        if (dim.symbol.empty())
            to->set_dim_value(dim.extent);
        else
            to->set_dim_param(dim.symbol);
    }
}

} // namespace

void GraphBuilder::input(const std::string& name, int dtype, const std::vector<D>& shape) {
    fill(*impl_->graph.add_input(), name, dtype, shape);
}

void GraphBuilder::output(const std::string& name, int dtype, const std::vector<D>& shape) {
    fill(*impl_->graph.add_output(), name, dtype, shape);
}

void GraphBuilder::floats(const std::string& name, std::vector<std::int64_t> shape,
                          std::vector<float> data) {
    pb::TensorProto* tensor = impl_->graph.add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(pb::TensorProto::FLOAT);
    for (std::int64_t extent : shape)
        tensor->add_dims(extent);
    for (float value : data)
        tensor->add_float_data(value);
}

void GraphBuilder::ints(const std::string& name, std::vector<std::int64_t> shape,
                        std::vector<std::int64_t> data) {
    pb::TensorProto* tensor = impl_->graph.add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(pb::TensorProto::INT64);
    for (std::int64_t extent : shape)
        tensor->add_dims(extent);
    for (std::int64_t value : data)
        tensor->add_int64_data(value);
}

void GraphBuilder::boolean(const std::string& name, bool value) {
    pb::TensorProto* tensor = impl_->graph.add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(pb::TensorProto::BOOL);
    tensor->add_int32_data(value ? 1 : 0);
}

void GraphBuilder::raw_tensor(const std::string& name, int dtype, std::vector<std::int64_t> shape,
                              const std::string& raw) {
    pb::TensorProto* tensor = impl_->graph.add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(dtype);
    for (std::int64_t extent : shape)
        tensor->add_dims(extent);
    tensor->set_raw_data(raw);
}

void GraphBuilder::external_tensor(const std::string& name, std::vector<std::int64_t> shape) {
    pb::TensorProto* tensor = impl_->graph.add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(pb::TensorProto::FLOAT);
    for (std::int64_t extent : shape)
        tensor->add_dims(extent);
    tensor->set_data_location(pb::TensorProto::EXTERNAL);
    auto* entry = tensor->add_external_data();
    entry->set_key("location");
    entry->set_value("/etc/passwd");
}

void GraphBuilder::node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs,
                        const std::vector<Attr>& attributes, const GraphBuilder* body) {
    pb::NodeProto* node = impl_->graph.add_node();
    node->set_op_type(op);
    node->set_name("/" + outputs.front());
    for (const std::string& input : inputs)
        node->add_input(input);
    for (const std::string& output : outputs)
        node->add_output(output);
    for (const Attr& attribute : attributes) {
        pb::AttributeProto* to = node->add_attribute();
        to->set_name(attribute.name);
        switch (attribute.kind) {
        case Attr::Kind::kInt:
            to->set_type(pb::AttributeProto::INT);
            to->set_i(attribute.i);
            break;
        case Attr::Kind::kInts:
            to->set_type(pb::AttributeProto::INTS);
            for (std::int64_t value : attribute.ints)
                to->add_ints(value);
            break;
        case Attr::Kind::kFloat:
            to->set_type(pb::AttributeProto::FLOAT);
            to->set_f(attribute.f);
            break;
        }
    }
    if (body != nullptr) {
        pb::AttributeProto* to = node->add_attribute();
        to->set_name("body");
        to->set_type(pb::AttributeProto::GRAPH);
        *to->mutable_g() = body->impl_->graph;
    }
}

std::vector<std::byte> GraphBuilder::model(std::int64_t opset) const {
    pb::ModelProto model;
    model.set_ir_version(7);
    model.add_opset_import()->set_version(opset);
    *model.mutable_graph() = impl_->graph;
    const std::string text = model.SerializeAsString();
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
}

void embedding_bag(GraphBuilder& graph, const std::string& prefix, const std::string& table,
                   const std::string& idx, const std::string& off, const std::string& result,
                   const BagOptions& options) {
    const auto name = [&](const std::string& leaf) { return prefix + "/" + leaf; };
    graph.boolean(name("true"), true);
    graph.ints(name("zero"), {1}, {0});
    graph.ints(name("one"), {1}, {1});
    graph.ints(name("end"), {1}, {INT64_MAX});
    graph.ints(name("i0"), {}, {0});
    std::string all = off;
    if (!options.include_last_offset) {
        graph.node("Shape", {idx}, {name("shape")});
        graph.node("Gather", {name("shape"), name("i0")}, {name("len")},
                   {Attr::integer("axis", 0)});
        graph.node("Unsqueeze", {name("len"), name("zero")}, {name("len1")});
        all = name("all");
        graph.node("Concat", {off, name("len1")}, {all}, {Attr::integer("axis", 0)});
    }
    std::string starts = all;
    if (options.slice_starts || options.include_last_offset) {
        starts = name("starts");
        graph.node("Slice", {all, name("zero"), name("end"), name("zero"), name("one")}, {starts});
    }
    graph.node("Slice", {all, name("one"), name("end"), name("zero"), name("one")}, {name("ends")});
    graph.node("Shape", {name("ends")}, {name("ends_shape")});
    graph.node("Gather", {name("ends_shape"), name("i0")}, {name("bags")},
               {Attr::integer("axis", 0)});

    GraphBuilder body;
    body.input(name("i"), 7, {});
    body.input(name("cond"), 9, {});
    body.node("Gather", {starts, name("i")}, {name("s")}, {Attr::integer("axis", 0)});
    body.node("Gather", {name("ends"), name("i")}, {name("e")}, {Attr::integer("axis", 0)});
    body.node("Unsqueeze", {name("s"), name("zero")}, {name("s1")});
    body.node("Unsqueeze", {name("e"), name("zero")}, {name("e1")});
    body.node("Slice", {idx, name("s1"), name("e1"), name("zero")}, {name("bag")});
    body.node("Gather", {table, name("bag")}, {name("rows")}, {Attr::integer("axis", 0)});
    if (options.reduce == "ReduceSum")
        body.node("ReduceSum", {name("rows"), name("zero")}, {name("pooled")},
                  {Attr::integer("keepdims", 0)});
    else
        body.node(options.reduce, {name("rows")}, {name("pooled")},
                  {Attr::integer("keepdims", 0), Attr::list("axes", {0})});
    body.node("Cast", {name("true")}, {name("go_on")}, {Attr::integer("to", 9)});
    body.output(name("go_on"), 9);
    body.output(name("pooled"), 1);
    graph.node("Loop", {name("bags"), name("true")}, {result}, {}, &body);
}

} // namespace talus::test

// MalleSlice as an OpenVINO operation on the CPU: checks of types and shapes, OpenVINO's own threads around
// slice_rows, and the rule that turns the ONNX node malle::MalleSlice into it.
#include <algorithm>
#include <memory>
#include <vector>

#include "malle_slice.hpp"
#include "openvino/core/extension.hpp"
#include "openvino/core/op_extension.hpp"
#include "openvino/core/parallel.hpp"
#include "openvino/frontend/onnx/extension/conversion.hpp"
#include "openvino/op/constant.hpp"
#include "openvino/op/op.hpp"
#include "openvino/op/transpose.hpp"

namespace malle {
namespace {

constexpr std::size_t kTasksPerThread = 4;  // evens out threads that are slowed down by something else

void check_channels(std::size_t channels, std::size_t grid_channels, std::size_t kernel_size) {
    const std::size_t values = kernel_size * kernel_size + 1;
    const std::size_t groups = grid_channels / values;
    OPENVINO_ASSERT(groups > 0 && grid_channels % values == 0 && channels % groups == 0,
                    "MalleSlice: grid must have G * ", values, " channels with G dividing ", channels, ", got ",
                    grid_channels);
}

// (N, h, w, C) as (N, C, h, w).
template <typename Shape>
Shape channels_first(const Shape& shape) {
    return {shape[0], shape[3], shape[1], shape[2]};
}

SliceDims slice_dims(const ov::Shape& x, const ov::Shape& grid, std::size_t kernel_size, bool channels_last) {
    OPENVINO_ASSERT(x.size() == 4 && grid.size() == 4 && x[0] == grid[0],
                    "MalleSlice: x and grid must be (N, C, H, W) with one N, got ", x, " and ", grid);
    check_channels(x[1], grid[1], kernel_size);
    const std::size_t stride = grid[2] == 0 ? 0 : x[2] / grid[2];
    OPENVINO_ASSERT(stride > 0 && x[2] == grid[2] * stride && x[3] == grid[3] * stride,
                    "MalleSlice: x must be one integer stride larger than grid, got ", x, " over ", grid);
    const std::size_t groups = grid[1] / (kernel_size * kernel_size + 1);
    return {x[0], x[1], groups, grid[2], grid[3], stride, kernel_size, channels_last};
}

void slice(const float* x, const float* grid, float* y, const SliceDims& dims) {
    const std::size_t items = dims.items();
    const std::size_t wanted = static_cast<std::size_t>(parallel_get_max_threads()) * kTasksPerThread;
    ov::parallel_nt(static_cast<int>(std::min(items, wanted)), [&](int task, int tasks) {
        const std::unique_ptr<float[]> scratch(new float[scratch_floats(dims)]);
        slice_rows(x, grid, y, dims, items * task / tasks, items * (task + 1) / tasks, scratch.get());
    });
}

class MalleSlice : public ov::op::Op {
public:
    OPENVINO_OP("MalleSlice", "malle");

    MalleSlice() = default;
    MalleSlice(const ov::Output<ov::Node>& x, const ov::Output<ov::Node>& grid, std::int64_t kernel_size,
               bool channels_last)
        : Op({x, grid}), m_kernel_size(kernel_size), m_channels_last(channels_last) {
        constructor_validate_and_infer_types();
    }

    void validate_and_infer_types() override {
        NODE_VALIDATION_CHECK(this, m_kernel_size == 1 || m_kernel_size == 3 || m_kernel_size == 5,
                              "MalleSlice: kernel_size must be 1, 3 or 5, got ", m_kernel_size);
        ov::element::Type type;
        NODE_VALIDATION_CHECK(this,
                              ov::element::Type::merge(type, get_input_element_type(0), get_input_element_type(1)) &&
                                  (type.is_dynamic() || type.is_real()),
                              "MalleSlice: x and grid must share a floating point type, got ",
                              get_input_element_type(0), " and ", get_input_element_type(1));
        const ov::PartialShape x = get_input_partial_shape(0);
        ov::PartialShape grid = get_input_partial_shape(1);
        NODE_VALIDATION_CHECK(this, x.rank().compatible(4) && grid.rank().compatible(4),
                              "MalleSlice: x and grid must be (N, C, H, W), got ", x, " and ", grid);
        if (m_channels_last && grid.rank().is_static()) grid = channels_first(grid);
        if (x.is_static() && grid.is_static()) {
            slice_dims(x.to_shape(), grid.to_shape(), m_kernel_size, m_channels_last);
        } else if (x.rank().is_static() && grid.rank().is_static() && x[1].is_static() && grid[1].is_static()) {
            check_channels(x[1].get_length(), grid[1].get_length(), m_kernel_size);
        }
        set_output_type(0, type, x);
    }

    std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override {
        check_new_args_count(this, inputs);
        return std::make_shared<MalleSlice>(inputs[0], inputs[1], m_kernel_size, m_channels_last);
    }

    // What makes the operation survive serialisation, and so OpenVINO's model cache.
    bool visit_attributes(ov::AttributeVisitor& visitor) override {
        visitor.on_attribute("kernel_size", m_kernel_size);
        visitor.on_attribute("channels_last", m_channels_last);
        return true;
    }

    bool has_evaluate() const override { return true; }

    bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override {
        const ov::Tensor &x = inputs[0], &grid = inputs[1];
        OPENVINO_ASSERT(x.get_element_type() == ov::element::f32 && grid.get_element_type() == ov::element::f32,
                        "MalleSlice: runs in f32, got ", x.get_element_type(), " and ", grid.get_element_type());
        const ov::Shape cells = m_channels_last ? channels_first(grid.get_shape()) : grid.get_shape();
        const SliceDims dims = slice_dims(x.get_shape(), cells, m_kernel_size, m_channels_last);
        outputs[0].set_shape(x.get_shape());
        if (dims.items() != 0) slice(x.data<const float>(), grid.data<const float>(), outputs[0].data<float>(), dims);
        return true;
    }

private:
    std::int64_t m_kernel_size = 0;
    bool m_channels_last = false;
};

// Convolutions leave their channels last. Where all channels share their kernels, the grid is taken as it is: the
// runtime drops the transposition, and with it the copy into planes. Groups would read it in bits too small to pay.
ov::OutputVector convert(const ov::frontend::NodeContext& node) {
    const auto kernel_size = node.get_attribute<std::int64_t>("kernel_size");
    const ov::Output<ov::Node> x = node.get_input(0), grid = node.get_input(1);
    const ov::PartialShape& shape = grid.get_partial_shape();
    if (shape.rank().is_dynamic() || shape.size() != 4 || shape[1] != kernel_size * kernel_size + 1)
        return std::make_shared<MalleSlice>(x, grid, kernel_size, false)->outputs();
    const auto order = ov::op::v0::Constant::create(ov::element::i64, ov::Shape{4}, {0, 2, 3, 1});
    const auto turned = std::make_shared<ov::op::v1::Transpose>(grid, order);
    return std::make_shared<MalleSlice>(x, turned, kernel_size, true)->outputs();
}

}  // namespace
}  // namespace malle

OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>({
    std::make_shared<ov::OpExtension<malle::MalleSlice>>(),
    std::make_shared<ov::frontend::onnx::ConversionExtension>("MalleSlice", "malle", malle::convert),
}));

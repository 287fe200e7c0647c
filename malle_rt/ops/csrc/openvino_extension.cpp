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
#include "openvino/op/op.hpp"

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

SliceDims slice_dims(const ov::Shape& x, const ov::Shape& grid, std::size_t kernel_size) {
    OPENVINO_ASSERT(x.size() == 4 && grid.size() == 4 && x[0] == grid[0],
                    "MalleSlice: x and grid must be (N, C, H, W) with one N, got ", x, " and ", grid);
    check_channels(x[1], grid[1], kernel_size);
    const std::size_t stride = grid[2] == 0 ? 0 : x[2] / grid[2];
    OPENVINO_ASSERT(stride > 0 && x[2] == grid[2] * stride && x[3] == grid[3] * stride,
                    "MalleSlice: x must be one integer stride larger than grid, got ", x, " over ", grid);
    return {x[0], x[1], grid[1] / (kernel_size * kernel_size + 1), grid[2], grid[3], stride, kernel_size};
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
    MalleSlice(const ov::Output<ov::Node>& x, const ov::Output<ov::Node>& grid, std::int64_t kernel_size)
        : Op({x, grid}), m_kernel_size(kernel_size) {
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
        const auto &x = get_input_partial_shape(0), &grid = get_input_partial_shape(1);
        NODE_VALIDATION_CHECK(this, x.rank().compatible(4) && grid.rank().compatible(4),
                              "MalleSlice: x and grid must be (N, C, H, W), got ", x, " and ", grid);
        if (x.is_static() && grid.is_static()) {
            slice_dims(x.to_shape(), grid.to_shape(), m_kernel_size);
        } else if (x.rank().is_static() && grid.rank().is_static() && x[1].is_static() && grid[1].is_static()) {
            check_channels(x[1].get_length(), grid[1].get_length(), m_kernel_size);
        }
        set_output_type(0, type, x);
    }

    std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override {
        check_new_args_count(this, inputs);
        return std::make_shared<MalleSlice>(inputs[0], inputs[1], m_kernel_size);
    }

    // What makes the operation survive serialisation, and so OpenVINO's model cache.
    bool visit_attributes(ov::AttributeVisitor& visitor) override {
        visitor.on_attribute("kernel_size", m_kernel_size);
        return true;
    }

    bool has_evaluate() const override { return true; }

    bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override {
        const ov::Tensor &x = inputs[0], &grid = inputs[1];
        OPENVINO_ASSERT(x.get_element_type() == ov::element::f32 && grid.get_element_type() == ov::element::f32,
                        "MalleSlice: runs in f32, got ", x.get_element_type(), " and ", grid.get_element_type());
        const SliceDims dims = slice_dims(x.get_shape(), grid.get_shape(), m_kernel_size);
        outputs[0].set_shape(x.get_shape());
        if (dims.items() != 0) slice(x.data<const float>(), grid.data<const float>(), outputs[0].data<float>(), dims);
        return true;
    }

private:
    std::int64_t m_kernel_size = 0;
};

ov::OutputVector convert(const ov::frontend::NodeContext& node) {
    const auto kernel_size = node.get_attribute<std::int64_t>("kernel_size");
    return std::make_shared<MalleSlice>(node.get_input(0), node.get_input(1), kernel_size)->outputs();
}

}  // namespace
}  // namespace malle

OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>({
    std::make_shared<ov::OpExtension<malle::MalleSlice>>(),
    std::make_shared<ov::frontend::onnx::ConversionExtension>("MalleSlice", "malle", malle::convert),
}));

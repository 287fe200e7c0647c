// Our operators as OpenVINO operations on the CPU: checks of types and shapes, OpenVINO's own threads around the
// kernels, and the rules that turn the ONNX nodes of the same names into them.
#include <algorithm>
#include <memory>
#include <vector>

#include "malle_slice.hpp"
#include "motion.hpp"
#include "rt_planes.hpp"
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

// Rows [0, rows) in OpenVINO's threads, each task with `scratch` floats of its own: work(first, last, scratch).
template <typename Work>
void in_rows(std::size_t rows, std::size_t scratch, const Work& work) {
    const std::size_t wanted = static_cast<std::size_t>(parallel_get_max_threads()) * kTasksPerThread;
    ov::parallel_nt(static_cast<int>(std::min(rows, wanted)), [&](int task, int tasks) {
        const std::unique_ptr<float[]> own(new float[scratch]);
        work(rows * task / tasks, rows * (task + 1) / tasks, own.get());
    });
}

void slice(const float* x, const float* grid, float* y, const SliceDims& dims) {
    in_rows(dims.items(), scratch_floats(dims), [&](std::size_t first, std::size_t last, float* scratch) {
        slice_rows(x, grid, y, dims, first, last, scratch);
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

// Of the luma (N, 1, H, W) and the chroma (N, 2, H/2, W/2); both shapes checked.
GridDims grid_dims(const ov::Shape& y, const ov::Shape& uv) {
    OPENVINO_ASSERT(y.size() == 4 && uv.size() == 4 && y[1] == 1 && uv[1] == 2 && y[0] == uv[0] &&
                        y[2] % kMotionBlock == 0 && y[3] % kMotionBlock == 0 && y[2] == 2 * uv[2] && y[3] == 2 * uv[3],
                    "MalleNet-RT: y must be (N, 1, H, W) and uv (N, 2, H/2, W/2), H and W multiples of ", kMotionBlock,
                    ", got ", y, " and ", uv);
    return {y[2] / kGridStride, y[3] / kGridStride};
}

void check_floats(const ov::Node* node) {
    for (std::size_t i = 0; i < node->get_input_size(); ++i) {
        const ov::element::Type type = node->get_input_element_type(i);
        NODE_VALIDATION_CHECK(node, type.is_dynamic() || type.is_real(),
                              "inputs must be floating point, got ", type, " as number ", i);
    }
}

void check_shape(const char* what, const ov::Shape& got, const ov::Shape& wanted) {
    OPENVINO_ASSERT(got == wanted, "MalleNet-RT: ", what, " must be ", wanted, ", got ", got);
}

// What the first layer sees, channels last: see rt_planes.hpp.
class RTInputOp : public ov::op::Op {
public:
    OPENVINO_OP("RTInput", "malle");

    RTInputOp() = default;
    explicit RTInputOp(const ov::OutputVector& inputs) : Op(inputs) { constructor_validate_and_infer_types(); }

    void validate_and_infer_types() override {
        check_floats(this);
        const ov::PartialShape uv = get_input_partial_shape(1), hidden = get_input_partial_shape(5);
        ov::PartialShape seen = ov::PartialShape::dynamic(4);
        if (uv.rank().is_static() && hidden.rank().is_static()) {
            const auto channels = static_cast<ov::Dimension::value_type>(kSeenChannels);
            seen = {uv[0], uv[2], uv[3], hidden[1] + ov::Dimension(channels)};
        }
        set_output_type(0, get_input_element_type(0), seen);
    }

    std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override {
        check_new_args_count(this, inputs);
        return std::make_shared<RTInputOp>(inputs);
    }

    bool visit_attributes(ov::AttributeVisitor&) override { return true; }
    bool has_evaluate() const override { return true; }

    bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override {
        const ov::Shape y = inputs[0].get_shape(), uv = inputs[1].get_shape(), hidden = inputs[5].get_shape();
        const GridDims dims = grid_dims(y, uv);
        check_shape("noise", inputs[2].get_shape(), {y[0], 4, 1, 1});
        check_shape("y_before", inputs[3].get_shape(), y);
        check_shape("uv_before", inputs[4].get_shape(), uv);
        check_shape("hidden_before", hidden, {uv[0], hidden[1], uv[2], uv[3]});
        const std::size_t channels = kSeenChannels + hidden[1];
        outputs[0].set_shape({uv[0], uv[2], uv[3], channels});
        const std::unique_ptr<float[]> memory(new float[RTInput::memory_floats(dims)]);
        const auto at = [&](std::size_t input, std::size_t item) {
            const ov::Tensor& tensor = inputs[input];
            return tensor.data<const float>() + item * (tensor.get_size() / y[0]);
        };
        for (std::size_t item = 0; item < y[0]; ++item) {
            const float* noise = at(2, item);
            RTInput input(dims, hidden[1], {at(0, item), at(1, item)}, {at(3, item), at(4, item)}, at(5, item),
                          {noise[0], noise[1], noise[2], noise[3]},
                          outputs[0].data<float>() + item * dims.chroma() * channels, memory.get());
            in_rows(dims.rows, 0, [&](std::size_t first, std::size_t last, float*) { input.compare_rows(first, last); });
            in_rows(dims.rows, RTInput::scratch_floats(dims, hidden[1]),
                    [&](std::size_t first, std::size_t last, float* scratch) { input.write_rows(first, last, scratch); });
        }
        return true;
    }
};

// The denoised planes of kernels, channels last: see rt_planes.hpp.
class RTOutputOp : public ov::op::Op {
public:
    OPENVINO_OP("RTOutput", "malle");

    RTOutputOp() = default;
    explicit RTOutputOp(const ov::OutputVector& inputs) : Op(inputs) { constructor_validate_and_infer_types(); }

    void validate_and_infer_types() override {
        check_floats(this);
        set_output_type(0, get_input_element_type(1), get_input_partial_shape(1));
        set_output_type(1, get_input_element_type(2), get_input_partial_shape(2));
    }

    std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override {
        check_new_args_count(this, inputs);
        return std::make_shared<RTOutputOp>(inputs);
    }

    bool visit_attributes(ov::AttributeVisitor&) override { return true; }
    bool has_evaluate() const override { return true; }

    bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override {
        const ov::Shape y = inputs[1].get_shape(), uv = inputs[2].get_shape();
        const GridDims dims = grid_dims(y, uv);
        check_shape("kernels", inputs[0].get_shape(), {y[0], dims.rows, dims.columns, kKernelChannels});
        check_shape("y_before", inputs[3].get_shape(), y);
        check_shape("uv_before", inputs[4].get_shape(), uv);
        outputs[0].set_shape(y);
        outputs[1].set_shape(uv);
        const std::unique_ptr<float[]> memory(new float[RTOutput::memory_floats(dims)]);
        const auto at = [&](std::size_t input, std::size_t item) {
            const ov::Tensor& tensor = inputs[input];
            return tensor.data<const float>() + item * (tensor.get_size() / y[0]);
        };
        for (std::size_t item = 0; item < y[0]; ++item) {
            RTOutput output(dims, at(0, item), {at(1, item), at(2, item)}, {at(3, item), at(4, item)},
                            outputs[0].data<float>() + item * dims.luma(),
                            outputs[1].data<float>() + item * 2 * dims.chroma(), memory.get());
            const std::size_t scratch = RTOutput::scratch_floats(dims);
            in_rows(dims.rows, 0, [&](std::size_t first, std::size_t last, float*) { output.average_rows(first, last); });
            in_rows(dims.rows, scratch,
                    [&](std::size_t first, std::size_t last, float* own) { output.low_rows(first, last, own); });
            in_rows(dims.rows, scratch,
                    [&](std::size_t first, std::size_t last, float* own) { output.fine_rows(first, last, own); });
        }
        return true;
    }
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

// What is kept of a video, (N, 1, H, W) luma, (N, 2, H/2, W/2) chroma and (N, C, H/2, W/2) hidden state, moved to where
// it is in the frame whose luma is the first input: see motion.hpp. With `whole` all of it moves by whole pixels.
class RTAlignOp : public ov::op::Op {
public:
    OPENVINO_OP("RTAlign", "malle");

    RTAlignOp() = default;
    RTAlignOp(const ov::OutputVector& inputs, bool whole) : Op(inputs), whole_(whole) {
        constructor_validate_and_infer_types();
    }

    void validate_and_infer_types() override {
        check_floats(this);
        for (std::size_t i = 0; i < 3; ++i)
            set_output_type(i, get_input_element_type(i + 1), get_input_partial_shape(i + 1));
    }

    std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override {
        check_new_args_count(this, inputs);
        return std::make_shared<RTAlignOp>(inputs, whole_);
    }

    bool visit_attributes(ov::AttributeVisitor& visitor) override {
        visitor.on_attribute("whole", whole_);
        return true;
    }

    bool has_evaluate() const override { return true; }

    bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override {
        const ov::Shape y = inputs[0].get_shape(), uv = inputs[2].get_shape(), hidden = inputs[3].get_shape();
        grid_dims(y, uv);
        check_shape("y_before", inputs[1].get_shape(), y);
        check_shape("hidden_before", hidden, {uv[0], hidden[1], uv[2], uv[3]});
        for (std::size_t i = 0; i < 3; ++i) outputs[i].set_shape(inputs[i + 1].get_shape());
        const MotionDims dims{y[2], y[3]};
        const std::size_t pixels = y[2] * y[3];
        const std::unique_ptr<std::uint8_t[]> memory(new std::uint8_t[MotionSearch::memory(dims) + 2 * pixels]);
        std::uint8_t *now = memory.get(), *before = now + pixels;
        for (std::size_t item = 0; item < y[0]; ++item) {
            const auto from = [&](std::size_t input) {
                const ov::Tensor& tensor = inputs[input];
                return tensor.data<const float>() + item * (tensor.get_size() / y[0]);
            };
            in_rows(dims.rows(), 0, [&](std::size_t first, std::size_t last, float*) {
                const std::size_t begin = first * kMotionBlock * y[3], count = (last - first) * kMotionBlock * y[3];
                to_codes(from(0) + begin, count, now + begin);
                to_codes(from(1) + begin, count, before + begin);
            });
            MotionSearch search(dims, before + pixels, whole_);
            search.prepare(now, before);
            for (std::size_t step = 0; step < MotionSearch::kSteps; ++step)
                in_rows(dims.rows(), 0,
                        [&](std::size_t first, std::size_t last, float*) { search.step(step, first, last); });
            in_rows(dims.rows(), 0, [&](std::size_t first, std::size_t last, float*) {
                for (std::size_t i = 0; i < 3; ++i) {
                    const ov::Shape& shape = inputs[i + 1].get_shape();
                    move_rows(from(i + 1), outputs[i].data<float>() + item * (outputs[i].get_size() / y[0]), shape[1],
                              shape[2], shape[3], kMotionBlock * shape[2] / y[2], i == 2, search.motion(), first,
                              last);
                }
            });
        }
        return true;
    }

private:
    bool whole_ = false;
};

// The node's first input, or its output, has its channels second; the operator's are last.
std::shared_ptr<ov::Node> turned(const ov::Output<ov::Node>& value, const std::vector<std::int64_t>& order) {
    return std::make_shared<ov::op::v1::Transpose>(value, ov::op::v0::Constant::create(ov::element::i64, {4}, order));
}

ov::OutputVector convert_input(const ov::frontend::NodeContext& node) {
    ov::OutputVector inputs;
    for (int i = 0; i < 6; ++i) inputs.push_back(node.get_input(i));
    return {turned(std::make_shared<RTInputOp>(inputs), {0, 3, 1, 2})};
}

ov::OutputVector convert_output(const ov::frontend::NodeContext& node) {
    ov::OutputVector inputs{turned(node.get_input(0), {0, 2, 3, 1})};
    for (int i = 1; i < 5; ++i) inputs.push_back(node.get_input(i));
    return std::make_shared<RTOutputOp>(inputs)->outputs();
}

}  // namespace
}  // namespace malle

OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>({
    std::make_shared<ov::OpExtension<malle::MalleSlice>>(),
    std::make_shared<ov::OpExtension<malle::RTInputOp>>(),
    std::make_shared<ov::OpExtension<malle::RTOutputOp>>(),
    std::make_shared<ov::OpExtension<malle::RTAlignOp>>(),
    std::make_shared<ov::frontend::onnx::ConversionExtension>("MalleSlice", "malle", malle::convert),
    std::make_shared<ov::frontend::onnx::ConversionExtension>("RTInput", "malle", malle::convert_input),
    std::make_shared<ov::frontend::onnx::ConversionExtension>("RTOutput", "malle", malle::convert_output),
}));

#include "transformer/model.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>

namespace transformer {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Rows that one task of a thread takes through a layer. They are fixed, because Eigen's sums may differ in the last bit
// between two ways of cutting the rows, and numbers must not depend on the number of threads.
constexpr std::int64_t kPromptRows = 64;
constexpr std::int64_t kStepRows = 8;

/// Calls f(first, count) for every run of at most `rows_per_task` rows in [first_row, rows), spread over the threads.
/// What f throws is thrown again here, after all of them have ended.
template <class F>
void each_rows(lacuna::Cpu exec, std::int64_t first_row, std::int64_t rows, std::int64_t rows_per_task, F const& f) {
  std::mutex mutex;
  std::exception_ptr failure;
  exec.each((rows - first_row + rows_per_task - 1) / rows_per_task, [&](std::int64_t task, int) {
    std::int64_t const first = first_row + task * rows_per_task;
    try {
      f(first, std::min(rows_per_task, rows - first));
    } catch (...) {
      std::lock_guard const lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

/// x * weight^T. A few rows are the steps of different sequences: there each sum is a dot product of its own, so that
/// it does not depend on the neighbours, and every row of the weight is read once for all of them.
template <class Rows>
Matrix multiply(Rows const& x, Matrix const& weight) {
  if (x.rows() > kStepRows) return x * weight.transpose();
  Matrix product(x.rows(), weight.rows());
  for (Eigen::Index out = 0; out < weight.rows(); ++out)
    for (Eigen::Index row = 0; row < x.rows(); ++row) product(row, out) = x.row(row).dot(weight.row(out));
  return product;
}

template <class Rows>
void rms_norm(Rows&& rows, std::vector<float> const& weight, float eps) {
  Eigen::Map<Eigen::RowVectorXf const> const gain(weight.data(), static_cast<Eigen::Index>(weight.size()));
  for (Eigen::Index i = 0; i < rows.rows(); ++i) {
    float const inverse = 1.0F / std::sqrt(rows.row(i).squaredNorm() / static_cast<float>(rows.cols()) + eps);
    rows.row(i).array() *= gain.array() * inverse;
  }
}

std::string layer_name(std::int64_t index, std::string const& tail) {
  return "model.layers." + std::to_string(index) + "." + tail + ".weight";
}

}  // namespace

Model::Model(std::filesystem::path const& folder) : config_(read_config(folder / "config.json")) {
  SafeTensors const file(folder / "model.safetensors");
  embedding_ = read_stacked(file, {"model.embed_tokens.weight"}, {config_.vocab_size}, config_.hidden_size);
  if (!config_.tie_word_embeddings)
    head_ = read_stacked(file, {"lm_head.weight"}, {config_.vocab_size}, config_.hidden_size);
  for (std::int64_t index = 0; index < config_.layers; ++index) layers_.push_back(read_layer(file, index));
  final_norm_ = read_norm(file, "model.norm.weight");
  fill_rotations();
}

Model::Layer Model::read_layer(SafeTensors const& file, std::int64_t index) {
  std::int64_t const hidden = config_.hidden_size;
  std::int64_t const dim_q = config_.heads_q * config_.head_dim;
  std::int64_t const dim_kv = config_.heads_kv * config_.head_dim;
  auto const name = [&](char const* tail) { return layer_name(index, tail); };
  Layer layer;
  layer.input_norm = read_norm(file, name("input_layernorm"));
  layer.qkv = read_stacked(file, {name("self_attn.q_proj"), name("self_attn.k_proj"), name("self_attn.v_proj")},
                           {dim_q, dim_kv, dim_kv}, hidden);
  layer.attention_out = read_stacked(file, {name("self_attn.o_proj")}, {hidden}, dim_q);
  layer.mlp_norm = read_norm(file, name("post_attention_layernorm"));
  layer.gate_up = read_stacked(file, {name("mlp.gate_proj"), name("mlp.up_proj")},
                               {config_.intermediate_size, config_.intermediate_size}, hidden);
  layer.down = read_stacked(file, {name("mlp.down_proj")}, {hidden}, config_.intermediate_size);
  return layer;
}

Matrix Model::read_stacked(SafeTensors const& file, std::vector<std::string> const& names,
                           std::vector<std::int64_t> const& rows, std::int64_t columns) {
  std::vector<float> values;
  for (std::size_t i = 0; i < names.size(); ++i) file.read_into(values, names[i], {rows[i], columns});
  parameters_ += static_cast<std::int64_t>(values.size());
  return Eigen::Map<Matrix const>(values.data(), static_cast<std::int64_t>(values.size()) / columns, columns);
}

std::vector<float> Model::read_norm(SafeTensors const& file, std::string const& name) {
  parameters_ += config_.hidden_size;
  return file.read(name, {config_.hidden_size});
}

void Model::fill_rotations() {
  std::int64_t const pairs = config_.head_dim / 2;
  rotation_cos_.resize(static_cast<std::size_t>(config_.max_positions * pairs));
  rotation_sin_.resize(rotation_cos_.size());
  for (std::int64_t pair = 0; pair < pairs; ++pair) {
    float const exponent = static_cast<float>(2 * pair) / static_cast<float>(config_.head_dim);
    float const frequency = 1.0F / std::pow(config_.rope_theta, exponent);
    for (std::int64_t position = 0; position < config_.max_positions; ++position) {
      float const angle = static_cast<float>(position) * frequency;
      rotation_cos_[static_cast<std::size_t>(position * pairs + pair)] = std::cos(angle);
      rotation_sin_[static_cast<std::size_t>(position * pairs + pair)] = std::sin(angle);
    }
  }
}

std::vector<float> Model::prefill(lacuna::Cpu exec, std::span<std::int32_t const> tokens, Attention& attention) const {
  if (tokens.empty()) throw std::runtime_error("the prompt is empty: there is nothing to continue");
  auto const rows = static_cast<std::int64_t>(tokens.size());
  check_position(rows - 1);
  Matrix hidden = embed(tokens);
  Matrix qkv(rows, (config_.heads_q + 2 * config_.heads_kv) * config_.head_dim);
  Matrix attended(rows, config_.heads_q * config_.head_dim);
  auto const out = lacuna::dense_view<float, 3>(attended.data(), {rows, config_.heads_q, config_.head_dim});
  for (std::int64_t index = 0; index < config_.layers; ++index) {
    Layer const& layer = layers_[static_cast<std::size_t>(index)];
    each_rows(exec, 0, rows, kPromptRows, [&](std::int64_t first, std::int64_t count) {
      project_rows(layer, hidden, first, count, qkv);
      for (std::int64_t row = first; row < first + count; ++row)
        rotate(qkv.row(row).data(), config_.heads_q + config_.heads_kv, row);
    });
    attention.prefill(exec, static_cast<int>(index), layer_rows(qkv, 0, rows), out);
    // Nobody reads what the last layer makes of any row but the last.
    std::int64_t const first_row = index + 1 == config_.layers ? rows - 1 : 0;
    each_rows(exec, first_row, rows, kPromptRows,
              [&](std::int64_t first, std::int64_t count) { finish_rows(layer, attended, first, count, hidden); });
  }
  Matrix const last = logits(hidden.bottomRows(1));
  return {last.data(), last.data() + last.size()};
}

std::vector<std::vector<float>> Model::step(lacuna::Cpu exec, std::span<Continuation const> sequences) const {
  auto const rows = static_cast<std::int64_t>(sequences.size());
  std::vector<std::int32_t> tokens;
  for (Continuation const& sequence : sequences) {
    check_position(sequence.position);
    tokens.push_back(sequence.token);
  }
  Matrix hidden = embed(tokens);
  Matrix qkv(rows, (config_.heads_q + 2 * config_.heads_kv) * config_.head_dim);
  Matrix attended(rows, config_.heads_q * config_.head_dim);
  for (std::int64_t index = 0; index < config_.layers; ++index) {
    Layer const& layer = layers_[static_cast<std::size_t>(index)];
    each_rows(exec, 0, rows, kStepRows,
              [&](std::int64_t first, std::int64_t count) { project_rows(layer, hidden, first, count, qkv); });
    each_rows(exec, 0, rows, 1, [&](std::int64_t row, std::int64_t) {
      Continuation const& sequence = sequences[static_cast<std::size_t>(row)];
      rotate(qkv.row(row).data(), config_.heads_q + config_.heads_kv, sequence.position);
      auto const out = lacuna::dense_view<float, 3>(attended.row(row).data(), {1, config_.heads_q, config_.head_dim});
      sequence.attention->step({}, static_cast<int>(index), layer_rows(qkv, row, 1), out);
    });
    each_rows(exec, 0, rows, kStepRows,
              [&](std::int64_t first, std::int64_t count) { finish_rows(layer, attended, first, count, hidden); });
  }
  std::vector<std::vector<float>> result(sequences.size());
  each_rows(exec, 0, rows, kStepRows, [&](std::int64_t first, std::int64_t count) {
    Matrix const some = logits(hidden.middleRows(first, count));
    for (std::int64_t row = 0; row < count; ++row)
      result[static_cast<std::size_t>(first + row)].assign(some.row(row).data(), some.row(row).data() + some.cols());
  });
  return result;
}

void Model::check_position(std::int64_t position) const {
  if (position < 0 || position >= config_.max_positions)
    throw std::runtime_error("the sequence needs " + std::to_string(position + 1) + " positions, but the model has " +
                             std::to_string(config_.max_positions));
}

Matrix Model::embed(std::span<std::int32_t const> tokens) const {
  Matrix hidden(static_cast<Eigen::Index>(tokens.size()), config_.hidden_size);
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    if (tokens[row] < 0 || tokens[row] >= config_.vocab_size)
      throw std::runtime_error("token id " + std::to_string(tokens[row]) + " is outside the model's vocabulary of " +
                               std::to_string(config_.vocab_size));
    hidden.row(static_cast<Eigen::Index>(row)) = embedding_.row(tokens[row]);
  }
  return hidden;
}

void Model::project_rows(Layer const& layer, Matrix const& hidden, std::int64_t first, std::int64_t count,
                         Matrix& qkv) const {
  Matrix normed = hidden.middleRows(first, count);
  rms_norm(normed, layer.input_norm, config_.rms_norm_eps);
  qkv.middleRows(first, count) = multiply(normed, layer.qkv);
}

LayerRows Model::layer_rows(Matrix const& qkv, std::int64_t first, std::int64_t count) const {
  std::int64_t const dim = config_.head_dim;
  auto const heads = [&](std::int64_t first_head, std::int64_t heads_count) {
    float const* const data = qkv.data() + first * qkv.cols() + first_head * dim;
    return lacuna::TensorView<float const, 3>{data, {count, heads_count, dim}, {qkv.cols(), dim, 1}};
  };
  return {heads(0, config_.heads_q), heads(config_.heads_q, config_.heads_kv),
          heads(config_.heads_q + config_.heads_kv, config_.heads_kv)};
}

void Model::rotate(float* heads, std::int64_t count, std::int64_t position) const {
  std::int64_t const pairs = config_.head_dim / 2;
  float const* const cosine = rotation_cos_.data() + position * pairs;
  float const* const sine = rotation_sin_.data() + position * pairs;
  for (float* head = heads; head != heads + count * config_.head_dim; head += config_.head_dim) {
    for (std::int64_t pair = 0; pair < pairs; ++pair) {
      float const first = head[pair];
      float const second = head[pair + pairs];
      head[pair] = first * cosine[pair] - second * sine[pair];
      head[pair + pairs] = second * cosine[pair] + first * sine[pair];
    }
  }
}

void Model::finish_rows(Layer const& layer, Matrix const& attended, std::int64_t first, std::int64_t count,
                        Matrix& hidden) const {
  auto residual = hidden.middleRows(first, count);
  residual += multiply(attended.middleRows(first, count), layer.attention_out);
  Matrix normed = residual;
  rms_norm(normed, layer.mlp_norm, config_.rms_norm_eps);
  Matrix const gate_up = multiply(normed, layer.gate_up);
  Matrix activated(count, config_.intermediate_size);
  for (Eigen::Index row = 0; row < count; ++row) {
    // A copy with an alignment of its own: Eigen takes exp of the ends of an unaligned row by another formula.
    Eigen::ArrayXf gate = gate_up.row(row).head(config_.intermediate_size).array();
    gate = gate / (1.0F + (-gate).exp());
    activated.row(row).array() = gate.transpose() * gate_up.row(row).tail(config_.intermediate_size).array();
  }
  residual += multiply(activated, layer.down);
}

Matrix Model::logits(Matrix last_hidden) const {
  rms_norm(last_hidden, final_norm_, config_.rms_norm_eps);
  return multiply(last_hidden, config_.tie_word_embeddings ? embedding_ : head_);
}

}  // namespace transformer

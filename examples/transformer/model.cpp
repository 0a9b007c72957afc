#include "transformer/model.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace transformer {
namespace {

// Rows that one task of a thread takes through a layer. It is fixed, because Eigen's sums may differ in the last bit
// between two ways of cutting the rows, and numbers must not depend on the number of threads.
constexpr std::int64_t kRowsPerTask = 64;

std::int64_t tasks_for(std::int64_t rows) { return (rows + kRowsPerTask - 1) / kRowsPerTask; }

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

Model::Matrix Model::read_stacked(SafeTensors const& file, std::vector<std::string> const& names,
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
  return forward(exec, Phase::prefill, tokens, 0, attention);
}

std::vector<float> Model::step(lacuna::Cpu exec, std::int32_t token, std::int64_t position,
                               Attention& attention) const {
  return forward(exec, Phase::step, {&token, 1}, position, attention);
}

std::vector<float> Model::forward(lacuna::Cpu exec, Phase phase, std::span<std::int32_t const> tokens,
                                  std::int64_t position, Attention& attention) const {
  auto const rows = static_cast<std::int64_t>(tokens.size());
  if (position < 0 || position + rows > config_.max_positions)
    throw std::runtime_error("the sequence needs " + std::to_string(position + rows) +
                             " positions, but the model has " + std::to_string(config_.max_positions));
  Matrix hidden(rows, config_.hidden_size);
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int32_t const token = tokens[static_cast<std::size_t>(row)];
    if (token < 0 || token >= config_.vocab_size)
      throw std::runtime_error("token id " + std::to_string(token) + " is outside the model's vocabulary of " +
                               std::to_string(config_.vocab_size));
    hidden.row(row) = embedding_.row(token);
  }

  Matrix attended(rows, config_.heads_q * config_.head_dim);
  for (int index = 0; index < static_cast<int>(config_.layers); ++index) {
    attend(exec, phase, index, hidden, position, attention, attended);
    // Nobody reads what the last layer makes of any row but the last.
    std::int64_t const first_row = index + 1 == config_.layers ? rows - 1 : 0;
    finish_layer(exec, layers_[static_cast<std::size_t>(index)], attended, first_row, hidden);
  }

  Matrix last = hidden.bottomRows(1);
  rms_norm(last, final_norm_, config_.rms_norm_eps);
  std::vector<float> logits(static_cast<std::size_t>(config_.vocab_size));
  Eigen::Map<Eigen::VectorXf>(logits.data(), config_.vocab_size).noalias() =
      (config_.tie_word_embeddings ? embedding_ : head_) * last.row(0).transpose();
  return logits;
}

void Model::attend(lacuna::Cpu exec, Phase phase, int index, Matrix const& hidden, std::int64_t position,
                   Attention& attention, Matrix& attended) const {
  Layer const& layer = layers_[static_cast<std::size_t>(index)];
  std::int64_t const rows = hidden.rows();
  Matrix qkv(rows, layer.qkv.rows());
  exec.each(tasks_for(rows), [&](std::int64_t task, int) {
    std::int64_t const first = task * kRowsPerTask;
    std::int64_t const count = std::min(kRowsPerTask, rows - first);
    Matrix normed = hidden.middleRows(first, count);
    rms_norm(normed, layer.input_norm, config_.rms_norm_eps);
    qkv.middleRows(first, count).noalias() = normed * layer.qkv.transpose();
    for (std::int64_t row = first; row < first + count; ++row)  // the keys follow the queries: one run of heads
      rotate(qkv.row(row).data(), config_.heads_q + config_.heads_kv, position + row);
  });

  std::int64_t const dim = config_.head_dim;
  auto const heads = [&](std::int64_t first_head, std::int64_t count) {
    return lacuna::TensorView<float const, 3>{qkv.data() + first_head * dim, {rows, count, dim}, {qkv.cols(), dim, 1}};
  };
  LayerRows const layer_rows{heads(0, config_.heads_q), heads(config_.heads_q, config_.heads_kv),
                             heads(config_.heads_q + config_.heads_kv, config_.heads_kv)};
  auto const out = lacuna::dense_view<float, 3>(attended.data(), {rows, config_.heads_q, dim});
  if (phase == Phase::prefill)
    attention.prefill(exec, index, layer_rows, out);
  else
    attention.step(exec, index, layer_rows, out);
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

void Model::finish_layer(lacuna::Cpu exec, Layer const& layer, Matrix const& attended, std::int64_t first_row,
                         Matrix& hidden) const {
  std::int64_t const rows = hidden.rows() - first_row;
  exec.each(tasks_for(rows), [&](std::int64_t task, int) {
    std::int64_t const first = first_row + task * kRowsPerTask;
    std::int64_t const count = std::min(kRowsPerTask, hidden.rows() - first);
    auto residual = hidden.middleRows(first, count);
    residual.noalias() += attended.middleRows(first, count) * layer.attention_out.transpose();
    Matrix normed = residual;
    rms_norm(normed, layer.mlp_norm, config_.rms_norm_eps);
    Matrix const gate_up = normed * layer.gate_up.transpose();
    auto const gate = gate_up.leftCols(config_.intermediate_size).array();
    auto const up = gate_up.rightCols(config_.intermediate_size).array();
    Matrix const activated = (gate / (1.0F + (-gate).exp()) * up).matrix();
    residual.noalias() += activated * layer.down.transpose();
  });
}

}  // namespace transformer

#include "transformer/model.hpp"

#include <algorithm>
#include <lacuna/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "transformer/generate.hpp"
#include "transformer/naive_llama.hpp"
#include "transformer/plain_attention.hpp"
#include "transformer/scratch_folder.hpp"
#include "transformer/tiny_model.hpp"

namespace {

using test::PlainAttention;
using test::ScratchFolder;
using test::TinyShape;
using transformer::Model;

Model load(TinyShape const& shape, test::Tensors const& tensors, std::string const& dtype = "BF16") {
  ScratchFolder const folder;
  test::write_model(folder.path(), shape, tensors, dtype);
  return Model(folder.path());
}

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocab) {
  support::Random random(7);
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<std::int32_t>(random.below(vocab)));
  return tokens;
}

double largest_difference(std::vector<float> const& a, std::vector<double> const& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  return largest;
}

std::vector<float> step(Model const& model, std::int32_t token, std::int64_t position, PlainAttention& attention) {
  transformer::Continuation const sequence{token, position, &attention};
  return model.step({}, {&sequence, 1}).front();
}

std::vector<double> in_double(std::vector<float> const& x) { return {x.begin(), x.end()}; }

}  // namespace

TEST_CASE("model: logits equal a naive pass in double, whatever the head groups", "[transformer]") {
  std::vector<TinyShape> shapes(5);
  shapes[1].heads_kv = 1;
  shapes[2].heads_kv = 4;
  shapes[3].tied = false;
  shapes[3].head_dim = 6;  // hidden is heads * head_dim here
  shapes[4].heads_q = 6;
  shapes[4].heads_kv = 2;
  shapes[4].head_dim = 10;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    CAPTURE(i);
    test::Tensors const tensors = test::random_tensors(shapes[i], i + 1);
    Model const model = load(shapes[i], tensors);
    for (std::int64_t count : {1, 2, 67}) {
      CAPTURE(count);
      std::vector<std::int32_t> const tokens = random_tokens(count, shapes[i].vocab);
      PlainAttention attention;
      std::vector<float> const logits = model.prefill({}, tokens, attention);
      CHECK(largest_difference(logits, test::NaiveLlama(shapes[i], tensors).logits(tokens)) < 2e-4);
    }
  }
}

TEST_CASE("model: a prompt and steps equal the whole prompt at once", "[transformer]") {
  TinyShape const shape;
  Model const model = load(shape, test::random_tensors(shape, 3));
  std::vector<std::int32_t> const tokens = random_tokens(80, shape.vocab);
  PlainAttention whole;
  std::vector<double> const expected = in_double(model.prefill({}, tokens, whole));
  for (std::size_t prompt : {std::size_t{1}, std::size_t{63}, std::size_t{79}}) {
    CAPTURE(prompt);
    PlainAttention stepped;
    std::vector<float> logits = model.prefill({}, std::span(tokens).first(prompt), stepped);
    for (std::size_t i = prompt; i < tokens.size(); ++i)
      logits = step(model, tokens[i], static_cast<std::int64_t>(i), stepped);
    CHECK(largest_difference(logits, expected) < 1e-4);
  }
}

TEST_CASE("model: the number of threads changes no bit", "[transformer]") {
  TinyShape const shape;
  Model const model = load(shape, test::random_tensors(shape, 4));
  std::vector<std::int32_t> const tokens = random_tokens(200, shape.vocab);
  PlainAttention alone;
  std::vector<float> const expected = model.prefill({}, tokens, alone);
  for (int workers : {2, 3}) {
    lacuna::ThreadPool pool(workers);
    PlainAttention attention;
    CHECK(model.prefill(pool.exec(), tokens, attention) == expected);
  }
}

TEST_CASE("model: a sequence's numbers do not depend on which others are continued beside it", "[transformer]") {
  TinyShape const shape;
  Model const model = load(shape, test::random_tensors(shape, 9));
  auto const read = [&](std::int64_t length, PlainAttention& attention) {
    std::vector<std::int32_t> const tokens = random_tokens(length, shape.vocab);
    return transformer::Read{model.prefill({}, tokens, attention), length, &attention};
  };
  constexpr std::int64_t kSequences = 19;
  std::vector<std::vector<std::int32_t>> alone;
  std::vector<std::vector<float>> logits_alone;
  for (std::int64_t i = 0; i < kSequences; ++i) {
    PlainAttention attention;
    alone.push_back(transformer::continue_greedily(model, {}, {read(3 + i, attention)}, 20).front());
    logits_alone.push_back(step(model, 1, 100, attention));
  }
  for (int workers : {1, 2, 3}) {
    lacuna::ThreadPool pool(workers);
    std::vector<PlainAttention> attentions(kSequences);
    std::vector<transformer::Read> reads;
    std::vector<transformer::Continuation> continuations;
    for (std::int64_t i = 0; i < kSequences; ++i) {
      PlainAttention& attention = attentions[static_cast<std::size_t>(i)];
      reads.push_back(read(3 + i, attention));
      continuations.push_back({1, 100, &attention});
    }
    CHECK(transformer::continue_greedily(model, pool.exec(), reads, 20) == alone);
    CHECK(model.step(pool.exec(), continuations) == logits_alone);
  }
}

TEST_CASE("model: what attention throws on any thread reaches the caller", "[transformer]") {
  struct Failing : PlainAttention {
    void step(lacuna::Cpu, int, transformer::LayerRows const&, lacuna::TensorView<float, 3>) override {
      throw std::runtime_error("no more pages");
    }
  };
  TinyShape const shape;
  Model const model = load(shape, test::random_tensors(shape, 9));
  lacuna::ThreadPool pool(2);
  Failing failing;
  std::vector<transformer::Continuation> const sequences(5, {1, 0, &failing});
  CHECK_THAT(test::error_of([&] { model.step(pool.exec(), sequences); }), test::contains("no more pages"));
}

TEST_CASE("model: f32 files and bf16 files of the same numbers are the same model", "[transformer]") {
  TinyShape const shape;
  test::Tensors const tensors = test::random_tensors(shape, 5);
  std::vector<std::int32_t> const tokens = random_tokens(9, shape.vocab);
  PlainAttention first;
  PlainAttention second;
  CHECK(load(shape, tensors, "F32").prefill({}, tokens, first) ==
        load(shape, tensors, "BF16").prefill({}, tokens, second));
  std::int64_t values = 0;
  for (auto const& [name, tensor] : tensors) values += static_cast<std::int64_t>(tensor.values.size());
  CHECK(load(shape, tensors).parameters() == values);
}

TEST_CASE("model: a missing, misnamed or misshapen tensor is named", "[transformer]") {
  TinyShape const shape;
  test::Tensors const tensors = test::random_tensors(shape, 6);
  for (auto const& [name, tensor] : tensors) {
    CAPTURE(name);
    test::Tensors damaged = tensors;
    damaged["prefix." + name] = tensor;
    damaged.erase(name);
    std::string const missing = test::error_of([&] { load(shape, damaged); });
    CHECK_THAT(missing, test::contains("model.safetensors: tensor '" + name + "' is missing"));
    damaged = tensors;
    damaged[name].shape.insert(damaged[name].shape.begin(), 1);
    CHECK_THAT(test::error_of([&] { load(shape, damaged); }), test::contains("tensor '" + name + "' has shape [1, "));
  }
  ScratchFolder const empty;
  CHECK_THAT(test::error_of([&] { Model{empty.path()}; }), test::contains("config.json"));
  CHECK_THAT(test::error_of([&] { Model{empty.path() / "none"}; }), test::contains("none/config.json"));
}

TEST_CASE("model: prompts that cannot be read are errors", "[transformer]") {
  TinyShape const shape;
  Model const model = load(shape, test::random_tensors(shape, 7));
  PlainAttention attention;
  auto const error = [&](std::vector<std::int32_t> const& tokens) {
    return test::error_of([&] { model.prefill({}, tokens, attention); });
  };
  CHECK_THAT(error({}), test::contains("empty"));
  CHECK_THAT(error({1, 32}), test::contains("token id 32"));
  CHECK_THAT(error({-1}), test::contains("token id -1"));
  CHECK_THAT(error(std::vector<std::int32_t>(257, 1)), test::contains("257 positions"));
  CHECK_THAT(test::error_of([&] { step(model, 1, 256, attention); }), test::contains("257 positions"));
}

TEST_CASE("generate: greedy, up to a stop id, a limit or the last position", "[transformer]") {
  TinyShape shape;
  shape.max_positions = 40;
  test::Tensors const tensors = test::random_tensors(shape, 8);
  Model const model = load(shape, tensors);
  std::vector<std::int32_t> sequence = random_tokens(5, shape.vocab);
  PlainAttention attention;
  std::vector<std::int32_t> const made = transformer::generate(model, {}, sequence, attention, 12);
  REQUIRE(made.size() <= 12);
  test::NaiveLlama const naive(shape, tensors);
  for (std::size_t i = 0; i < made.size(); ++i) {
    std::vector<double> const logits = naive.logits(sequence);
    CHECK(made[i] == std::max_element(logits.begin(), logits.end()) - logits.begin());
    sequence.push_back(made[i]);
  }
  if (made.size() < 12) {
    std::vector<double> const logits = naive.logits(sequence);
    CHECK(std::max_element(logits.begin(), logits.end()) - logits.begin() == 2);  // eos_token_id
  }

  std::vector<float> always(static_cast<std::size_t>(shape.vocab), 0.0F);
  CHECK(transformer::continue_greedily(model, {}, {{always, 5, &attention}}, 0).front().empty());
  always[2] = 1.0F;
  CHECK(transformer::continue_greedily(model, {}, {{always, 5, &attention}}, 9).front().empty());
  CHECK(transformer::continue_greedily(model, {}, {}, 9).empty());
  PlainAttention fresh;
  std::vector<std::int32_t> const prompt = random_tokens(40, shape.vocab);
  CHECK(transformer::generate(model, {}, prompt, fresh, 9).size() <= 1);
  PlainAttention other;
  CHECK_THAT(test::error_of([&] { transformer::generate(model, {}, {}, other, 3); }), test::contains("empty"));
}

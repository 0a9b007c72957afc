#include "frontier/methods.hpp"

#include <algorithm>

#include "support/catch.hpp"
#include "transformer/generate.hpp"
#include "transformer/scratch_folder.hpp"
#include "transformer/tiny_model.hpp"

namespace {

using frontier::Method;
using frontier::MethodRun;
using frontier::Prompt;
using frontier::Setup;
using transformer::Model;

constexpr std::int64_t kPromptTokens = 300;
constexpr std::int64_t kNewTokens = 24;

Model make_model() {
  test::ScratchFolder const folder;
  test::TinyShape shape;
  shape.max_positions = 512;
  test::write_model(folder.path(), shape, test::random_tensors(shape, 11));
  return Model(folder.path());
}

std::vector<std::int32_t> prompt_tokens() {
  support::Random random(5);
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < kPromptTokens; ++i) tokens.push_back(3 + static_cast<std::int32_t>(random.below(29)));
  return tokens;
}

/// A method's way through the prompt, up to the first step.
struct Started {
  Started(Model const& model, Method const& method, double budget, lacuna::Cpu exec = {})
      : setup{&model.config(), 2048, false, budget, 0, kPromptTokens + kNewTokens} {
    std::vector<std::int32_t> const tokens = prompt_tokens();
    prompt = std::make_shared<transformer::DenseAttention>(model.config(), setup.capacity_tokens,
                                                           frontier::queries_to_keep(setup));
    logits = model.prefill(exec, tokens, *prompt);
    if (method.sizes_for) setup.size = method.sizes_for(exec, setup, std::vector{budget}, *prompt).front();
    run = method.start(exec, setup, prompt);
    if (method.reads_prompt()) logits = model.prefill(exec, tokens, *run);
  }

  std::vector<float> steps(Model const& model, lacuna::Cpu exec = {}, std::int64_t count = kNewTokens) {
    std::vector<float> last = logits;
    for (std::int64_t i = 0; i < count; ++i) {
      transformer::Continuation const next{static_cast<std::int32_t>(3 + i), kPromptTokens + i, run.get()};
      last = model.step(exec, {&next, 1}).front();
    }
    return last;
  }

  Setup setup;
  Prompt prompt;
  std::vector<float> logits;
  std::unique_ptr<MethodRun> run;
};

double largest_difference(std::vector<float> const& a, std::vector<float> const& b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, static_cast<double>(std::abs(a[i] - b[i])));
  return largest;
}

}  // namespace

TEST_CASE("methods: the baseline comes first and every name is found", "[frontier]") {
  REQUIRE(frontier::all_methods().size() >= 30);
  CHECK(frontier::all_methods().front().name == "dense");
  CHECK_FALSE(frontier::all_methods().front().sparse);
  for (Method const& method : frontier::all_methods()) CHECK(frontier::find_method(method.name) == &method);
  CHECK(frontier::find_method("none") == nullptr);
}

// One step: a budget is a share of the prompt, so later steps read less than everything.
TEST_CASE("methods: the whole budget is dense attention", "[frontier]") {
  Model const model = make_model();
  Started dense(model, frontier::all_methods().front(), 1.0);
  std::vector<float> const expected_logits = dense.logits;
  std::vector<float> const expected = dense.steps(model, {}, 1);
  CHECK(dense.run->density() == 1.0);
  for (Method const& method : frontier::all_methods()) {
    CAPTURE(method.name);
    Started whole(model, method, 1.0);
    CHECK(largest_difference(whole.logits, expected_logits) < 1e-4);
    bool const exact = method.kv_bytes == 2.0;  // codes of 8 bits are not
    CHECK(largest_difference(whole.steps(model, {}, 1), expected) < (exact ? 1e-4 : 0.4));
    CHECK(whole.run->density() == 1.0);
    CHECK(whole.run->peak_bytes() > 0);
  }
}

TEST_CASE("methods: a small budget drops work, near its nominal share, and shows in the answer", "[frontier]") {
  Model const model = make_model();
  Started dense(model, frontier::all_methods().front(), 1.0);
  std::vector<float> const dense_logits = dense.steps(model);
  for (Method const& method : frontier::all_methods()) {
    if (!method.sparse) continue;
    CAPTURE(method.name);
    for (double budget : {0.2, 0.4}) {
      CAPTURE(budget);
      Started sparse(model, method, budget);
      std::vector<float> const logits = sparse.steps(model);
      // A share of attention says how many pages a step reads only when its query is there.
      bool const follows_the_query = method.name == "quest-top-p" || method.name == "twilight";
      CHECK(sparse.run->density() == Approx(budget).margin(follows_the_query ? 0.15 : 0.05));
      CHECK(largest_difference(logits, dense_logits) > 1e-3);
      CHECK_FALSE(method.describe(sparse.setup).empty());
    }
  }
}

TEST_CASE("methods: what is forgotten or coded shows in the memory that is held", "[frontier]") {
  Model const model = make_model();
  auto const held = [&](char const* name, double budget) {
    Started started(model, *frontier::find_method(name), budget);
    started.steps(model, {}, 2);
    return started.run->peak_bytes();
  };
  std::size_t const dense = held("dense", 1.0);
  transformer::Config const& config = model.config();
  CHECK(dense ==
        static_cast<std::size_t>(config.layers * config.heads_kv * config.head_dim * 2 * (kPromptTokens + 2)) * 4);
  CHECK(held("quest-int8", 0.3) < held("quest", 0.3));
  CHECK(held("snapkv", 0.2) < held("quest", 0.2));
}

TEST_CASE("methods: a setting changes what it names, and nothing else is taken", "[frontier]") {
  frontier::Variant const variant = frontier::parse_variant("snapkv:window=48:smoothing=3:recent=7");
  CHECK(variant.method->name == "snapkv");
  CHECK(variant.tuning.window == 48);
  CHECK(variant.tuning.smoothing == 3);
  CHECK(variant.tuning.recent == 7);
  CHECK(variant.tuning.unit == 0);
  for (char const* text :
       {"snap", "snapkv:", "snapkv:window", "snapkv:window=", "snapkv:window=0", "snapkv:window=x"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(frontier::parse_variant(text), std::invalid_argument);
  }
  Model const model = make_model();
  Started plain(model, *frontier::find_method("quest"), 0.3);
  plain.setup.tuning.unit = 32;
  plain.run = frontier::find_method("quest")->start({}, plain.setup, plain.prompt);
  CHECK(frontier::find_method("quest")->describe(plain.setup) == "page 32");
  plain.setup.tuning.unit = 64;
  CHECK_THAT(test::error_of([&] { frontier::find_method("quest")->start({}, plain.setup, plain.prompt); }),
             test::contains("unit of 64"));
}

TEST_CASE("methods: threads change no bit, and a shared prompt serves all", "[frontier]") {
  Model const model = make_model();
  lacuna::ThreadPool pool(3);
  for (Method const& method : frontier::all_methods()) {
    CAPTURE(method.name);
    Started alone(model, method, 0.3);
    Started threaded(model, method, 0.3, pool.exec());
    CHECK(alone.setup.size == threaded.setup.size);
    CHECK(alone.logits == threaded.logits);
    CHECK(alone.steps(model) == threaded.steps(model, pool.exec()));
    CHECK(alone.run->density() == threaded.run->density());
  }
  // Two runs from one prompt do not see each other's steps.
  Method const& snap_kv = *frontier::find_method("snapkv");
  Started shared(model, snap_kv, 0.3);
  std::vector<float> const first = shared.steps(model);
  shared.run = snap_kv.start({}, shared.setup, shared.prompt);
  CHECK(shared.steps(model) == first);
}

TEST_CASE("methods: a budget too small for what is always kept says so", "[frontier]") {
  Model const model = make_model();
  CHECK_THAT(test::error_of([&] { Started(model, *frontier::find_method("snapkv"), 0.01); }),
             test::contains("the budget must exceed sink_tokens + recent_tokens"));
}

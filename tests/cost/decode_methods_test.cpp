#include "lacuna/cost/decode_methods.hpp"

#include "lacuna/cost/solve_density.hpp"
#include "support/catch.hpp"

namespace {

using namespace lacuna;

static_assert(MethodCost<SnapKvCost> && MethodCost<AdaSnapKvCost> && MethodCost<QuestCost> && MethodCost<TopMassCost> &&
              MethodCost<EvictEachStepCost> && MethodCost<HeadSplitCost>);

constexpr Shape kPrompt{16384, 16384, 28, 4, 128};

double share(std::int64_t part, std::int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

TEST_CASE("cost: SnapKV and Ada-SnapKV as in the table", "[cost]") {
  double const n = 16384, dense = 2.0 * 128 * 28 * n * (n + 1);
  AttentionWork const snap = SnapKvCost{share(1638, 16384), {256}, 21}.prefill(kPrompt, {});
  CHECK(snap.attend.flops == dense);
  CHECK(snap.select.flops == 28 * (2.0 * 128 * 256 * n + 5 * 256 * n) + 4 * n * 22);
  CHECK(snap.select.bytes == Approx(4.0 * 1638 * 128 * 4 * 2));  // gathered: read and written, keys and values
  CHECK_FALSE(snap.sparse);
  CHECK(AdaSnapKvCost{0.1, {256}, 21}.prefill(kPrompt, {}).select.flops == snap.select.flops + 4 * n);

  Shape const step{1, 16384 + 7, 28, 4, 128};  // 7 steps later
  for (AttentionWork const& work : {SnapKvCost{share(1638 + 7, 16384 + 7)}.decode(step, {}),
                                    AdaSnapKvCost{share(1638 + 7, 16384 + 7)}.decode(step, {})}) {
    CHECK(work.total().bytes == Approx(2.0 * (1638 + 7) * 128 * 4 * 2));
    CHECK(work.attend.flops == Approx(4.0 * (1638 + 7) * 128 * 28));
    CHECK(work.sparse);
  }
}

TEST_CASE("cost: a Quest step reads budget, current page and bounds", "[cost]") {
  Shape const step{1, 1000, 28, 4, 128};  // 62 full pages before the current one, which holds 8
  std::int64_t const kept = quest_kept_tokens(1000, 128, 16);
  QuestCost const quest{share(kept, 1000), 16};
  AttentionWork const work = quest.decode(step, {});
  CHECK(work.total().bytes == Approx(2.0 * 128 * 4 * 2 * (128 + 8 + 62)));
  CHECK(work.attend.flops == Approx(4.0 * 128 * 28 * (128 + 8)));
  CHECK(work.select.flops == 4.0 * 128 * 62 * 4);
  // Quantised to one byte, the bounds left as they were.
  CHECK(quest.decode(step, {.kv = 1.0}).total().bytes == Approx(2.0 * 128 * 4 * (1 * 136 + 2 * 62)));

  AttentionWork const separate = QuestCost{share(kept, 1000), 16, false}.decode(step, {});
  CHECK(separate.select == Work{4.0 * 128 * 62 * 28, work.select.bytes});
  CHECK(separate.attend.bytes == Approx(7 * work.attend.bytes));
  CHECK(QuestCost{0.5, 16, false}.decode(step, {}).attend.bytes == Approx(2.0 * 128 * 4 * 2 * 1000));
}

TEST_CASE("cost: Quest with nothing to drop is dense", "[cost]") {
  Shape const step{1, 144, 28, 4, 128};
  std::int64_t const kept = quest_kept_tokens(144, 128, 16);
  AttentionWork const work = QuestCost{share(kept, 144), 16}.decode(step, {});
  CHECK(work.total() == DenseCost{}.decode(step, {}).total());
  CHECK_FALSE(work.sparse);
}

TEST_CASE("cost: Quest's bounds cost 1 / page of the cache to keep", "[cost]") {
  AttentionWork const work = QuestCost{0.1, 16}.prefill(kPrompt, {});
  double const keys = 16384.0 * 128 * 4;
  CHECK(work.select == Work{2 * keys, 2 * keys + 2 * keys * 2 / 16});
  CHECK(work.attend == DenseCost{}.prefill(kPrompt, {}).attend);
}

TEST_CASE("cost: a nominal 1/20 of Quest moves 11.3 % of the bytes", "[cost]") {
  Shape const step{1, 1 << 20, 28, 4, 128};
  double const traffic =
      QuestCost{0.05, 16}.decode(step, {}).total().bytes / DenseCost{}.decode(step, {}).total().bytes;
  CHECK(traffic == Approx(0.1125).margin(5e-5));
}

TEST_CASE("cost: top mass reads bounds, a 4-bit copy of the candidates' keys, and what is kept", "[cost]") {
  Shape const step{1, 16384, 28, 4, 128};
  AttentionWork const work = TopMassCost{0.1, 0.25, 16}.decode(step, {});
  double const cache = 2.0 * 16384 * 128 * 4 * 2;
  CHECK(work.select.bytes == Approx(cache * (1023.0 / 16384) + 0.25 * cache / 8));
  CHECK(work.attend.bytes == Approx(0.1 * cache));
  CHECK(work.select.flops == Approx(4.0 * 128 * 1023 * 4 + 2.0 * 128 * 28 * 4096));
  CHECK(TopMassCost{1.0}.decode(step, {}).total() == DenseCost{}.decode(step, {}).total());
}

TEST_CASE("cost: evicting at each step reads the capacity and its scores", "[cost]") {
  Shape const step{1, 16384, 28, 4, 128};
  CHECK(EvictEachStepCost{1024}.decode(step, {}).total().bytes == 2.0 * 1024 * 128 * 4 * 2 + 8.0 * 1024 * 4);
  CHECK(EvictEachStepCost{1 << 20}.decode(step, {}).attend == DenseCost{}.decode(step, {}).attend);
  CHECK(EvictEachStepCost{1024}.prefill(kPrompt, {}).select == Work{});
  // Accumulated weights need the logits, half of attention's FLOPs, again.
  CHECK(EvictEachStepCost{1024, true}.prefill(kPrompt, {}).select.flops == 128.0 * 28 * 16384 * 16385);
}

TEST_CASE("cost: split heads read K_r L + K_s (sinks + window)", "[cost]") {
  Shape const step{1, 16384, 32, 8, 128};
  HeadSplitCost const split{0.25, {64, 256}};
  CHECK(split.decode(step, {}).total().bytes == Approx(2.0 * 128 * 2 * (6 * 16384 + 2 * 320)));
  CHECK(HeadSplitCost{0.0}.prefill(kPrompt, {}).total() == DenseCost{}.prefill(kPrompt, {}).total());
}

}  // namespace

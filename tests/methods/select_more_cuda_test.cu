#include <string>

#include "lacuna/budgets/per_head_pair.hpp"
#include "lacuna/methods/query_aware_blocks.hpp"
#include "lacuna/methods/sparge.hpp"
#include "lacuna/methods/vertical_slash.hpp"
#include "lacuna/selectors/oracle.hpp"
#include "lacuna/selectors/random.hpp"
#include "support/catch.hpp"
#include "support/choosing.hpp"
#include "support/cuda_doors.hpp"
#include "support/sound_batch.hpp"

namespace {

using support::chooses_as_the_cpu;
using support::kChoosingBatch;

template <class S, class B = lacuna::FixedBudget>
using Blocks = lacuna::Method<lacuna::Block<32>, S, B, lacuna::ContiguousCache>;

TEST_CASE("cuda select: query-aware blocks are the CPU's", "[methods]") {
  using namespace lacuna;
  for (double share : {0.3, 0.9, 1.0}) {
    QueryAwareBlocksOf<32> method;
    method.selector.inner.share = share;
    chooses_as_the_cpu("query-aware blocks", method, kChoosingBatch);
  }
  chooses_as_the_cpu("query-aware blocks, window", QueryAwareBlocksOf<32>{}, kChoosingBatch, 150);
}

TEST_CASE("cuda select: blocks unlike themselves are kept as on the CPU", "[methods]") {
  using namespace lacuna;
  SpargeOf<32> method{.budget = {.share = 0.5}};
  for (float threshold : {0.0F, 0.03125F, 0.9F}) {  // random rows: the mean cosine of 32 of them is about 1 / 32
    method.selector.threshold = threshold;
    chooses_as_the_cpu("sparge", method, kChoosingBatch);
  }
}

TEST_CASE("cuda select: controls choose as on the CPU", "[methods]") {
  using namespace lacuna;
  using Random = Method<VerticalSlashUnit<64>, RandomSelector, FixedPair, ContiguousCache>;
  using Oracle = Method<VerticalSlashUnit<64>, OracleSelector, FixedPair, ContiguousCache>;
  chooses_as_the_cpu("random columns", Random{.selector = {7}, .budget = {60, 90}}, kChoosingBatch);
  chooses_as_the_cpu("random blocks", Blocks<RandomSelector>{.selector = {7}, .budget = {160}}, kChoosingBatch, 150);
  chooses_as_the_cpu("best columns", Oracle{.budget = {60, 90}}, kChoosingBatch);
  chooses_as_the_cpu("best blocks", Blocks<OracleSelector>{.budget = {160}}, kChoosingBatch);
}

TEST_CASE("cuda select: a pair for each head", "[methods]") {
  using namespace lacuna;
  std::vector<std::int32_t> const pairs{50, 20, 30, 60, 1, 1, 64, 7};
  VerticalSlashOf<64, PerHeadPair> method{.budget = {dense_view<std::int32_t const, 2>(pairs.data(), {4, 2})}};
  method.selector.inner.window = 64;
  chooses_as_the_cpu("a pair for each head", method, kChoosingBatch);

  support::Stream stream;
  support::DeviceArray<std::int32_t> counts(std::size_t{12});
  auto const s = method.budget.allot(Cuda{stream}, method.unit, dense_view<std::int32_t, 2>(counts.data(), {6, 2}));
  CHECK(s.message == std::string("per_head_pair: counts must have one row per head of scores"));
}

TEST_CASE("refusals: query-aware blocks and mean cosines", "[methods]") {
  auto const judged = lacuna::QueryAwareBlocksOf<32>{}.selector.inner;
  auto const problem = support::sound_batch<lacuna::bfloat16>(64);
  CHECK(judged.prepare(lacuna::Cuda{}, lacuna::Block<32>{}, problem, {}).message ==
        std::string("query_aware: the workspace is smaller than planned"));
  auto const odd = support::sound_batch<lacuna::bfloat16>(32);
  auto const means = support::unread<float, 2>({6, 4});
  CHECK(lacuna::cuda::mean_cosines(lacuna::Cuda{}, odd, 32, means, means).message ==
        std::string("mean_cosines: dim must be 64, 128 or 256"));
}

}  // namespace

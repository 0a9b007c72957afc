#include "lacuna/budgets/ratio.hpp"
#include "lacuna/budgets/sublinear.hpp"
#include "lacuna/methods/block_sparse.hpp"
#include "lacuna/methods/block_top_p.hpp"
#include "lacuna/methods/flex_prefill.hpp"
#include "lacuna/methods/vertical_slash.hpp"
#include "lacuna/methods/vertical_slash_gqa.hpp"
#include "lacuna/methods/x_attention.hpp"
#include "lacuna/selectors/group_shared.hpp"
#include "support/catch.hpp"
#include "support/choosing.hpp"
#include "support/cuda_doors.hpp"

namespace {

using support::chooses_as_the_cpu;

template <class S, class B>
using Blocks = lacuna::Method<lacuna::Block<16>, S, B, lacuna::ContiguousCache>;

TEST_CASE("cuda select: lists of blocks are the CPU's", "[methods]") {
  using namespace lacuna;
  chooses_as_the_cpu("block sparse", BlockSparse{.budget = {.tokens = 128}}, support::kChoosingBatch);
  chooses_as_the_cpu("block sparse, window", BlockSparse{.budget = {.tokens = 128}}, support::kChoosingBatch, 150);
  chooses_as_the_cpu("block sparse, pages", BlockSparse{.budget = {.tokens = 128}}, support::kChoosingBatch, 0,
                     {.page_tokens = 16});
  chooses_as_the_cpu("block sparse 64", BlockSparseOf<64>{.budget = {.tokens = 256}}, support::kChoosingBatch);
  chooses_as_the_cpu("block sparse 128, d 128", BlockSparseOf<128>{.budget = {.tokens = 384}},
                     {{900, 900, 1, 4, 128}, {50, 300, 1, 4, 128}});
  chooses_as_the_cpu("one list per group",
                     Blocks<Anchored<GroupShared<MeanPool>, 32>, FixedBudget>{.budget = {.tokens = 128}},
                     support::kChoosingBatch);
  chooses_as_the_cpu("block top p", BlockTopP{.budget = {.share = 0.8, .floor_tokens = 64}}, support::kChoosingBatch);
  chooses_as_the_cpu("x attention", XAttention{}, support::kChoosingBatch);
  chooses_as_the_cpu("x attention 64", XAttentionOf<64>{.budget = {.share = 0.7}}, support::kChoosingBatch);
  chooses_as_the_cpu("block antidiagonal", BlockAntidiagonal{.budget = {.tokens = 128}}, support::kChoosingBatch);
}

TEST_CASE("cuda select: columns and diagonals are the CPU's", "[methods]") {
  using namespace lacuna;
  VerticalSlash vertical_slash{.budget = {.columns = 60, .diagonals = 90}};
  vertical_slash.selector.inner.window = 64;
  chooses_as_the_cpu("vertical slash", vertical_slash, support::kChoosingBatch);
  chooses_as_the_cpu("vertical slash, pages", vertical_slash, support::kChoosingBatch, 0, {.page_tokens = 7});
  FlexPrefill flex{.budget = {.share = 0.7, .floor_tokens = 80}};
  flex.selector.inner.window = 100;
  chooses_as_the_cpu("flex prefill", flex, support::kChoosingBatch);
  VerticalSlashGqa gqa{.budget = {.columns = 60, .diagonals = 90}};
  chooses_as_the_cpu("vertical slash gqa", gqa, support::kChoosingBatch);
  FlexPrefill generous{.budget = {.share = 0.999, .floor_tokens = 600}};
  chooses_as_the_cpu("flex prefill, generous", generous, support::kChoosingBatch);
}

}  // namespace

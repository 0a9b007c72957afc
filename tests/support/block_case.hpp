#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lacuna/index/block_index.hpp"
#include "lacuna/index/density.hpp"
#include "reference/attention.hpp"
#include "reference/block_sparse.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/method_run.hpp"

namespace support {

/// The key blocks that one query block of a head keeps.
inline reference::Units kept_blocks(lacuna::BlockIndex const& index, std::int64_t head, std::int64_t r) {
  std::int32_t const* const ids = index.row(head, r);
  return {ids, ids + index.counts(head, r)};
}

/// Runs a method of block units: choose(head, m, kept) judges each choice and gives "" or what is wrong with it; then
/// values and density are held against attention over exactly the keys that were kept.
template <class M, class T, class Judge>
void block_method_equals_the_oracle(M const& method, reference::Inputs const& in, ProblemCase<T>& c, Data data,
                                    Judge const& judge, lacuna::Cpu exec = {}) {
  MethodRun<M> run(method, c.problem(), exec);
  REQUIRE(run.run(c.problem(), c.out()) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  lacuna::BlockIndex const& index = run.index();
  std::int64_t const tokens = index.block_tokens, first = reference::first_query_block(in, tokens);
  REQUIRE(index.rows() == (in.len_q == 0 ? 0 : reference::end_query_block(in, tokens) - first));
  for (std::int64_t head = 0; head < index.heads(); ++head)
    for (std::int64_t r = 0; r < index.rows(); ++r) {
      CAPTURE(head, r);
      REQUIRE(judge(head, first + r, kept_blocks(index, head, r)) == "");
    }
  double kept = 0.0, causal = 0.0;
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t row) {
    std::int64_t const at = in.position(row);
    auto const keys =
        reference::block_keys(kept_blocks(index, head * index.heads() / in.heads_q, at / tokens - first), at, tokens);
    kept += static_cast<double>(keys.size());
    causal += static_cast<double>(at + 1);
    return keys;
  });
  REQUIRE(explain_answer(c, exact, data) == "");
  REQUIRE(lacuna::density(index) == Approx(causal == 0.0 ? 1.0 : kept / causal).epsilon(1e-12));
}

}  // namespace support

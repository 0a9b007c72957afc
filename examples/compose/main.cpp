// A method of your own: write the one word that is missing, and name it together with the words that exist.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "lacuna/lacuna.hpp"

namespace {

/// Tokens with small keys tend to receive much attention (arXiv 2406.11430), and to know that takes no query at all.
struct SmallKeyNorm {
  std::int64_t heads(lacuna::Token const&, lacuna::Shape const& shape) const { return shape.heads_kv; }

  template <lacuna::Storage T>
  lacuna::Status score(lacuna::Cpu exec, lacuna::Token const&, lacuna::Problem<T> const& problem, lacuna::Workspace,
                       lacuna::Scores scores) const {
    lacuna::KvView<T> const& kv = problem.kv;
    exec.each(kv.heads_kv, [&](std::int64_t head, int) {
      for (std::int64_t token = 0; token < kv.length(head); ++token) {
        T const* const key = kv.k + kv.offset(head, token);
        float squares = 0.0F;
        for (std::int64_t x = 0; x < kv.dim; ++x) squares += lacuna::to_float(key[x]) * lacuna::to_float(key[x]);
        scores(head, 0, token) = -squares;
      }
    });
    return {};
  }
};

// Sinks and recent tokens, budgets and eviction come with the other words.
using NormKv = lacuna::Method<lacuna::Token, lacuna::Anchored<SmallKeyNorm>, lacuna::Ratio, lacuna::EvictingCache>;
// And a Quest that never drops the first and the last pages: one wrapper more.
using AnchoredQuest =
    lacuna::Method<lacuna::Page<16>, lacuna::Anchored<lacuna::MinMaxBound>, lacuna::Ratio, lacuna::PagedCache>;

struct alignas(lacuna::Workspace::kAlignment) Line {
  std::byte bytes[lacuna::Workspace::kAlignment];
};
using Buffer = std::vector<Line>;

Buffer allocate(std::size_t bytes) { return Buffer(bytes / sizeof(Line) + 1); }

bool complain(lacuna::Status status) {
  std::fprintf(stderr, "compose: %s\n", status.message);
  return false;
}

template <class M>
bool decide(char const* name, M const& method, lacuna::Problem<float> const& problem) {
  lacuna::Shape const shape = lacuna::shape_of(problem);
  auto const plan = method.plan(lacuna::Cpu{}, shape);
  if (!plan) return complain(plan.status());
  Buffer index_memory = allocate(plan->index_bytes), workspace = allocate(plan->workspace_bytes);
  lacuna::Workspace for_index(index_memory.data(), plan->index_bytes);
  auto index = method.make_index(shape, for_index);
  lacuna::Status const done =
      method.select(lacuna::Cpu{}, problem, lacuna::Workspace(workspace.data(), plan->workspace_bytes), index);
  if (!done) return complain(done);
  std::printf("%-15s keeps %.3f of the tokens\n", name, lacuna::density(index));
  return true;
}

}  // namespace

int main() {
  constexpr std::int64_t kTokens = 2000, kHeadsQ = 4, kHeadsKv = 2, kDim = 64;
  std::mt19937 bits(1);
  std::normal_distribution<float> normal;
  std::vector<float> rows(kTokens * kHeadsKv * kDim), query(kHeadsQ * kDim);
  for (float& x : rows) x = normal(bits);
  for (float& x : query) x = normal(bits);
  auto const keys = lacuna::dense_view<float const, 3>(rows.data(), {kTokens, kHeadsKv, kDim});

  Buffer pages = allocate(lacuna::PagePool<float>::bytes(250, 16, kDim));
  lacuna::PagePool<float> pool(pages.data(), 250, 16, kDim);
  Buffer tables = allocate(lacuna::PagedCache<float>::bytes(pool, kTokens, kHeadsKv, 16));
  lacuna::PagedCache<float> cache(pool, tables.data(), kTokens, kHeadsKv, 16);
  if (lacuna::Status const s = cache.append(lacuna::Cpu{}, keys, keys); !s) {
    complain(s);
    return 1;
  }
  lacuna::Problem<float> const problem{lacuna::dense_view<float const, 3>(query.data(), {1, kHeadsQ, kDim}),
                                       cache.view()};

  bool const fine = decide("norm-kv", NormKv{.budget = {.share = 0.1}}, problem) &&
                    decide("anchored-quest", AnchoredQuest{.budget = {.share = 0.1}}, problem);
  return fine ? 0 : 1;
}

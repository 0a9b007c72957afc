#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/kernels/page_bounds.hpp"
#include "lacuna/kernels/pick_top.hpp"
#include "support/catch.hpp"
#include "support/device.hpp"
#include "support/memory.hpp"
#include "support/problem_case.hpp"
#include "support/random.hpp"

namespace decode_graph_test {

using T = lacuna::bfloat16;
using Ints = std::vector<std::int32_t>;

constexpr std::int64_t kBatch = 3, kHeadsKv = 2, kGroup = 4, kHeadsQ = kHeadsKv * kGroup, kDim = 64, kPage = 16;
constexpr std::int64_t kCapacity = 320, kPages = kCapacity / kPage, kRow = kHeadsKv * kDim, kRoom = 8;

/// A sequence as the host knows it: rows [token, heads_kv, dim].
struct Sequence {
  std::vector<T> k, v;
  std::int64_t len() const { return static_cast<std::int64_t>(k.size()) / kRow; }
  lacuna::KvView<T> view() const {
    lacuna::KvView<T> kv;
    kv.k = k.data();
    kv.v = v.data();
    kv.heads_kv = kHeadsKv;
    kv.dim = kDim;
    kv.stride_head = kDim;
    kv.stride_token = kRow;
    kv.len = len();
    return kv;
  }
};

std::vector<T> random_rows(support::Random& random, std::int64_t count) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(support::stored<T>(random.normal()));
  return values;
}

/// One step of Quest over a paged cache, captured once: append with bounds, score, pick, attend.
struct Step {
  bool per_head;
  std::int64_t heads = per_head ? kHeadsQ : kHeadsKv, rows = kBatch * heads;
  support::DeviceArray<T> k, v, bounds, q, new_k, new_v, out;
  support::DeviceArray<float> scores, lse;
  support::DeviceArray<std::int32_t> table, lens, cu, wanted, pages, counts, lens_out, tickets;
  std::unique_ptr<support::DeviceMemory> scratch;
  support::Stream stream;
  cudaGraphExec_t graph = nullptr;

  explicit Step(bool per_head_)
      : per_head(per_head_),
        k(size(kBatch * kCapacity * kRow)),
        v(k.size()),
        bounds(size(kBatch * kHeadsKv * kPages * 2 * kDim)),
        q(size(kBatch * kHeadsQ * kDim)),
        new_k(size(kBatch * kRow)),
        new_v(new_k.size()),
        out(q.size()),
        scores(size(rows * kPages)),
        lse(size(kBatch * kHeadsQ)),
        table(size(kBatch * kPages)),
        lens(size(kBatch)),
        cu(size(kBatch + 1)),
        wanted(size(rows)),
        pages(size(rows * kRoom)),
        counts(size(rows)),
        lens_out(size(rows)),
        tickets(Ints(size(rows), 0)) {
    lacuna::Workspace bytes;
    lacuna::reserve_attend_pages(lacuna::Cuda{stream}, lacuna::shape_of(problem()), heads, bytes);
    scratch = std::make_unique<support::DeviceMemory>(bytes.used_bytes());
    cudaGraph_t captured;
    support::cuda_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    enqueue();
    support::cuda_check(cudaStreamEndCapture(stream, &captured));
    std::size_t nodes = 0;
    support::cuda_check(cudaGraphGetNodes(captured, nullptr, &nodes));
    REQUIRE(nodes == 4);
    support::cuda_check(cudaGraphInstantiate(&graph, captured, 0));
    support::cuda_check(cudaGraphDestroy(captured));
  }
  ~Step() { cudaGraphExecDestroy(graph); }

  static std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

  lacuna::BatchProblem<T> problem() const {
    lacuna::BatchProblem<T> p;
    p.q = lacuna::dense_view<T const, 3>(q.data(), {kBatch, kHeadsQ, kDim});
    p.cu_len_q = cu.data();
    p.kv.k = k.data();
    p.kv.v = v.data();
    p.kv.heads_kv = kHeadsKv;
    p.kv.dim = kDim;
    p.kv.stride_token = kDim;
    p.kv.stride_head = kPage * kDim;
    p.kv.stride_page = kPage * kRow;
    p.kv.page_tokens = kPage;
    p.kv.lens = {lens.data(), {kBatch, kHeadsKv}, {1, 0}};
    p.kv.page_table = {table.data(), {kBatch, kHeadsKv, kPages}, {kPages, 0, 1}};
    p.batch = kBatch;
    p.max_len_q = 1;
    p.max_len_k = kCapacity;
    return p;
  }
  lacuna::PageIndex index() const {
    return {lacuna::dense_view<std::int32_t, 2>(pages.data(), {rows, kRoom}),
            lacuna::dense_view<std::int32_t, 1>(counts.data(), {rows}),
            lacuna::dense_view<std::int32_t, 1>(lens_out.data(), {rows}), kPage};
  }
  void enqueue() {
    lacuna::Cuda const exec{stream};
    auto const bounds_view = lacuna::dense_view<T, 5>(bounds.data(), {kBatch, kHeadsKv, kPages, 2, kDim});
    lacuna::AppendKvBatchArgs<T> append;
    append.cache = {problem().kv, kBatch, kCapacity, 1, bounds_view, kPage};
    append.k = k.data();
    append.v = v.data();
    append.new_k = lacuna::dense_view<T const, 3>(new_k.data(), {kBatch, kHeadsKv, kDim});
    append.new_v = lacuna::dense_view<T const, 3>(new_v.data(), {kBatch, kHeadsKv, kDim});
    append.cu_new = cu.data();
    REQUIRE(std::string(lacuna::append_kv(exec, append).message) == "");
    lacuna::BoundScoresBatchArgs<T> score{problem(), bounds_view, kPage,
                                          lacuna::dense_view<float, 2>(scores.data(), {rows, kPages})};
    lacuna::PickPagesBatchArgs pick;
    pick.scores = score.scores;
    pick.wanted = lacuna::dense_view<std::int32_t const, 1>(wanted.data(), {rows});
    pick.lens = problem().kv.lens;
    pick.index = index();
    REQUIRE(std::string(lacuna::bound_scores(exec, score).message) == "");
    REQUIRE(std::string(lacuna::pick_pages(exec, pick).message) == "");
    lacuna::AttendPagesBatchArgs<T> attend{problem(), index(), {}, scratch->workspace()};
    attend.out = {lacuna::dense_view<T, 3>(out.data(), {kBatch, kHeadsQ, kDim}),
                  lacuna::dense_view<float, 2>(lse.data(), {kBatch, kHeadsQ})};
    attend.tickets = lacuna::dense_view<std::int32_t, 1>(tickets.data(), {rows});
    REQUIRE(std::string(lacuna::attend_pages(exec, attend).message) == "");
  }
};

/// What the CPU makes of one sequence's step.
struct Twin {
  Sequence const& sequence;
  lacuna::Problem<T> problem;
  std::int64_t heads, pages = (sequence.len() + kPage - 1) / kPage;
  std::vector<T> bounds = std::vector<T>(static_cast<std::size_t>(kHeadsKv * pages * 2 * kDim));
  std::vector<float> scores = std::vector<float>(static_cast<std::size_t>(heads * pages));

  Twin(Sequence const& sequence, T const* q, std::int64_t heads) : sequence(sequence), heads(heads) {
    problem.q = lacuna::dense_view<T const, 3>(q, {1, kHeadsQ, kDim});
    problem.kv = sequence.view();
    auto const view = lacuna::dense_view<T, 4>(bounds.data(), {kHeadsKv, pages, 2, kDim});
    REQUIRE(std::string(lacuna::page_bounds<T>(lacuna::Cpu{}, {problem.kv, sequence.len(), view, kPage}).message) ==
            "");
    problem.kv.bounds = view;
    problem.kv.bounds_page_tokens = kPage;
    alignas(64) static std::byte memory[1 << 16];
    REQUIRE(std::string(lacuna::bound_scores<T>(lacuna::Cpu{},
                                                {problem, lacuna::dense_view<float, 2>(scores.data(), {heads, pages}),
                                                 lacuna::Workspace(memory, sizeof memory)})
                            .message) == "");
  }
  /// Whether these pages, the current one last, are the best by these scores.
  static bool are_best(float const* scores, std::int64_t full, Ints const& picked) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(full));
    for (std::size_t p = 0; p < order.size(); ++p) order[p] = static_cast<std::int64_t>(p);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
    order.resize(picked.size() - 1);
    std::sort(order.begin(), order.end());
    order.push_back(full);
    return std::equal(order.begin(), order.end(), picked.begin(), picked.end());
  }
  void attend(Ints pages_of_rows, Ints counts, std::vector<T>& out, std::vector<float>& lse) const {
    Ints lens(static_cast<std::size_t>(heads), static_cast<std::int32_t>(sequence.len()));
    alignas(64) static std::byte memory[1 << 22];
    out.resize(kHeadsQ * kDim);
    lse.resize(kHeadsQ);
    lacuna::PageIndex const index{lacuna::dense_view<std::int32_t, 2>(pages_of_rows.data(), {heads, kRoom}),
                                  lacuna::dense_view<std::int32_t, 1>(counts.data(), {heads}),
                                  lacuna::dense_view<std::int32_t, 1>(lens.data(), {heads}), kPage};
    lacuna::AttendPagesArgs<T> const args{problem,
                                          index,
                                          {lacuna::dense_view<T, 3>(out.data(), {1, kHeadsQ, kDim}),
                                           lacuna::dense_view<float, 2>(lse.data(), {1, kHeadsQ})},
                                          lacuna::Workspace(memory, sizeof memory)};
    REQUIRE(std::string(lacuna::attend_pages<T>(lacuna::Cpu{}, args).message) == "");
  }
};

void replay(bool per_head, int steps) {
  Step step(per_head);
  support::Random random(per_head ? 2 : 1);
  std::vector<Sequence> sequences(kBatch);
  std::vector<Ints> owned(kBatch);  // physical pages of each sequence
  Ints free_pages;
  for (std::int32_t p = 0; p < kBatch * kPages; ++p) free_pages.push_back(p);
  for (int s = 0; s < steps; ++s) {
    CAPTURE(per_head, s);
    auto const q = random_rows(random, kBatch * kHeadsQ * kDim);
    auto const k = random_rows(random, kBatch * kRow), v = random_rows(random, kBatch * kRow);
    Ints lens, cu{0}, wanted, table(kBatch * kPages, 1 << 30);
    for (std::size_t b = 0; b < kBatch; ++b) {
      Sequence& sequence = sequences[b];
      if (sequence.len() == kCapacity || random.below(150) == 0) {  // it ends; its pages serve others
        free_pages.insert(free_pages.begin(), owned[b].begin(), owned[b].end());
        owned[b].clear();
        sequence = {};
      }
      bool const waits = random.below(10) == 0;
      if (!waits) {
        auto const at = static_cast<std::ptrdiff_t>(cu.back() * kRow);
        sequence.k.insert(sequence.k.end(), k.begin() + at, k.begin() + at + kRow);
        sequence.v.insert(sequence.v.end(), v.begin() + at, v.begin() + at + kRow);
        if (static_cast<std::int64_t>(owned[b].size()) * kPage < sequence.len()) {
          owned[b].push_back(free_pages.back());
          free_pages.pop_back();
        }
      }
      std::copy(owned[b].begin(), owned[b].end(), table.begin() + static_cast<std::ptrdiff_t>(b * kPages));
      lens.push_back(static_cast<std::int32_t>(sequence.len()));
      cu.push_back(cu.back() + (waits ? 0 : 1));
    }
    for (std::int64_t row = 0; row < step.rows; ++row)
      wanted.push_back(static_cast<std::int32_t>(random.below(kRoom + 2)));
    step.q.upload(q);
    step.new_k.upload(k);
    step.new_v.upload(v);
    step.table.upload(table);
    step.lens.upload(lens);
    step.cu.upload(cu);
    step.wanted.upload(wanted);
    step.out.poison();
    support::cuda_check(cudaGraphLaunch(step.graph, step.stream));
    step.stream.wait();
    auto const scores = step.scores.download();
    auto const pages = step.pages.download(), counts = step.counts.download();
    auto const out = step.out.download();
    auto const lse = step.lse.download();
    REQUIRE(step.tickets.download() == Ints(static_cast<std::size_t>(step.rows), 0));

    for (std::size_t b = 0; b < kBatch; ++b) {
      if (cu[b + 1] == cu[b]) continue;
      std::int64_t const len = lens[b], full = (len - 1) / kPage;
      std::size_t const token = static_cast<std::size_t>(cu[b]);
      CAPTURE(b, len);
      Twin const twin(sequences[b], q.data() + token * kHeadsQ * kDim, step.heads);
      std::size_t const first_row = b * static_cast<std::size_t>(step.heads);
      for (std::size_t h = 0; h < static_cast<std::size_t>(step.heads); ++h) {
        std::size_t const row = first_row + h;
        for (std::int64_t p = 0; p < full; ++p) {
          float const got = scores[row * kPages + static_cast<std::size_t>(p)];
          float const expected = twin.scores[h * static_cast<std::size_t>(twin.pages) + static_cast<std::size_t>(p)];
          if (std::abs(got - expected) > 1e-3F) REQUIRE(got == expected);
        }
        REQUIRE(counts[row] == std::min<std::int64_t>({wanted[row], full, kRoom - 1}) + 1);
        Ints const picked(pages.begin() + static_cast<std::ptrdiff_t>(row * kRoom),
                          pages.begin() + static_cast<std::ptrdiff_t>(row * kRoom) + counts[row]);
        REQUIRE(Twin::are_best(scores.data() + row * kPages, full, picked));
      }
      std::vector<T> expected;
      std::vector<float> expected_lse;
      auto const rows_of = [&](auto const& all, std::size_t per_row) {
        auto const from = all.begin() + static_cast<std::ptrdiff_t>(first_row * per_row);
        return Ints(from, from + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(step.heads) * per_row));
      };
      twin.attend(rows_of(pages, kRoom), rows_of(counts, 1), expected, expected_lse);
      for (std::size_t e = 0; e < expected.size(); ++e) {
        float const got = lacuna::to_float(out[token * kHeadsQ * kDim + e]), want = lacuna::to_float(expected[e]);
        if (!(std::abs(got - want) <= 0.02F * std::abs(want) + 0.02F)) {
          CAPTURE(e);
          REQUIRE(got == want);
        }
      }
      for (std::size_t h = 0; h < kHeadsQ; ++h)
        if (!(std::abs(lse[token * kHeadsQ + h] - expected_lse[h]) <= 1e-4F))
          REQUIRE(lse[token * kHeadsQ + h] == expected_lse[h]);
    }
  }
}

TEST_CASE("cuda decode graph: one captured step serves sequences that grow, wait, end and begin", "[cuda]") {
  replay(false, 700);
  replay(true, 300);
}

}  // namespace decode_graph_test

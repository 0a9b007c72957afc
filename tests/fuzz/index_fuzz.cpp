#include <algorithm>
#include <cstdlib>
#include <vector>

#include "bytes.hpp"
#include "lacuna/index/density.hpp"
#include "lacuna/methods/attend.hpp"

namespace {

/// Memory of exactly the problem's size: the address sanitizer sees what is read beside it.
struct Case {
  lacuna::Shape shape;
  std::vector<float> q, k, v, out, lse;
  std::vector<std::int32_t> table;
  lacuna::Problem<float> problem;
  lacuna::AttentionOut<float> answer;

  explicit Case(fuzz::Bytes& bytes) {
    shape.heads_kv = bytes.number(1, 2);
    shape.heads_q = shape.heads_kv * bytes.number(1, 3);
    shape.dim = bytes.number(1, 20);
    shape.len_k = bytes.number(0, 200);
    shape.len_q = bytes.number(0, 1) == 0 ? std::min<std::int64_t>(shape.len_k, 1) : bytes.number(0, shape.len_k);
    q.resize(static_cast<std::size_t>(shape.len_q * shape.heads_q * shape.dim), 0.5F);
    out.resize(q.size());
    lse.resize(static_cast<std::size_t>(shape.len_q * shape.heads_q));
    std::int64_t rows = shape.len_k * shape.heads_kv;
    problem.q = lacuna::dense_view<float const, 3>(q.data(), {shape.len_q, shape.heads_q, shape.dim});
    problem.window_tokens = bytes.number(0, 250);
    lacuna::KvView<float>& kv = problem.kv;
    kv.heads_kv = shape.heads_kv;
    kv.dim = shape.dim;
    kv.len = shape.len_k;
    kv.stride_token = shape.dim;
    kv.stride_head = shape.len_k * shape.dim;
    if (std::int64_t const page_tokens = bytes.number(0, 40); page_tokens > 0) {
      std::int64_t const pages = (shape.len_k + page_tokens - 1) / page_tokens, pool = bytes.number(1, 8);
      for (std::int64_t i = 0; i < pages * shape.heads_kv; ++i)
        table.push_back(static_cast<std::int32_t>(bytes.number(0, pool - 1)));
      rows = pool * page_tokens;
      kv.page_table = table.data();
      kv.table_stride = pages;
      kv.page_tokens = page_tokens;
      kv.stride_page = page_tokens * shape.dim;
      kv.stride_head = 0;
    }
    k.resize(static_cast<std::size_t>(rows * shape.dim), 0.25F);
    v.resize(k.size(), 1.0F);
    kv.k = k.data();
    kv.v = v.data();
    answer = {lacuna::dense_view<float, 3>(out.data(), {shape.len_q, shape.heads_q, shape.dim}),
              lacuna::dense_view<float, 2>(lse.data(), {shape.len_q, shape.heads_q})};
  }

  /// Every value is 1, so an answer is 1, or 0 where no key was seen.
  template <class Index>
  void attend(Index const& index) {
    if (!index.check(shape)) return;
    double const share = lacuna::density(index);
    if (!(share >= 0.0 && share <= 1.0)) std::abort();
    lacuna::Workspace counting;
    lacuna::reserve_attend(lacuna::Cpu{}, shape, index, counting);
    fuzz::Scratch scratch(counting.used_bytes());
    if (!lacuna::attend(lacuna::Cpu{}, problem, index, scratch.workspace(), answer)) return;
    for (float x : out)
      if (!(x == 0.0F || (x > 0.999F && x < 1.001F))) std::abort();
  }
};

}  // namespace

/// Any index: what check() refuses is not used, and what it accepts is attended to without a step aside.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  Case c(bytes);
  std::int64_t const kind = bytes.number(0, 4), rows = bytes.number(0, 6), capacity = bytes.number(0, 20);
  std::vector<std::int32_t> ids = bytes.ids(rows * capacity), more = bytes.ids(rows * capacity);
  std::vector<std::int32_t> counts = bytes.ids(2 * rows), lens = bytes.ids(rows);
  auto const table = lacuna::dense_view<std::int32_t, 2>(ids.data(), {rows, capacity});
  auto const counted = lacuna::dense_view<std::int32_t, 1>(counts.data(), {rows});
  auto const held = lacuna::dense_view<std::int32_t, 1>(lens.data(), {rows});
  if (kind == 0) c.attend(lacuna::TokenIndex{table, counted, held});
  if (kind == 1) c.attend(lacuna::PageIndex{table, counted, held, bytes.number(0, 64)});
  if (kind == 2)
    c.attend(lacuna::BandIndex{bytes.number(-1, 250), bytes.number(-1, 250), bytes.number(0, 250), c.shape.len_q,
                               c.shape.len_k, c.shape.heads_q});
  if (kind == 3)
    c.attend(lacuna::VerticalSlashIndex{table, lacuna::dense_view<std::int32_t, 2>(more.data(), {rows, capacity}),
                                        lacuna::dense_view<std::int32_t, 2>(counts.data(), {rows, 2}), c.shape.len_q,
                                        c.shape.len_k, bytes.number(0, 80)});
  if (kind == 4) {
    std::int64_t const query_blocks = bytes.number(0, 12);
    std::vector<std::int32_t> block_counts = bytes.ids(rows * query_blocks);
    std::vector<std::int64_t> offsets;
    for (std::int64_t i = 0; i <= query_blocks; ++i) offsets.push_back(bytes.id());
    c.attend(lacuna::BlockIndex{table, lacuna::dense_view<std::int32_t, 2>(block_counts.data(), {rows, query_blocks}),
                                lacuna::dense_view<std::int64_t, 1>(offsets.data(), {query_blocks + 1}), c.shape.len_q,
                                c.shape.len_k, bytes.number(0, 80), bytes.number(0, 20)});
  }
  return 0;
}

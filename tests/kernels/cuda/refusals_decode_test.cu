// What only the host code of the kernels can refuse, of decode: said before anything is launched, so that it needs no
// device and nothing that pointers lead to.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/kernels/cuda/primitives/tensor_map.cuh"
#include "lacuna/kernels/gather_kv.hpp"
#include "lacuna/kernels/page_bounds.hpp"
#include "support/catch.hpp"
#include "support/sound_batch.hpp"

namespace {

using namespace support;
using lacuna::bfloat16;

constexpr lacuna::Cuda kExec{};

TEST_CASE("refusals: attend_pages", "[kernels]") {
  auto const said = [](auto const& spoil, std::int64_t dim = 64, std::int64_t batch = 3) {
    auto problem = sound_batch<bfloat16>(dim, 1);
    problem.batch = problem.q.extents[0] = problem.kv.lens.extents[0] = batch;
    lacuna::AttendPagesBatchArgs<bfloat16> args{problem, {}, sound_out(problem), {}, {}};
    lacuna::Workspace counting;
    (void)lacuna::reserve_attend_pages(kExec, shape_of(problem), 2, counting);
    std::vector<std::byte> scratch(counting.used_bytes());
    args.scratch = {scratch.data(), scratch.size()};
    spoil(args);
    return std::string(attend_pages(kExec, args).message);
  };
  auto const nothing = [](auto&) {};
  CHECK(said(nothing, 32) == "attend_pages: dim must be 64, 128 or 256 on the device");
  char const* const rows = "kv: on the device every row of k and v must begin at a multiple of 16 bytes";
  CHECK(said([](auto& a) { a.problem.kv.k = nowhere<bfloat16 const>(1); }) == rows);
  CHECK(said([](auto& a) { a.problem.kv.v = nowhere<bfloat16 const>(4); }) == rows);
  CHECK(said([](auto& a) { a.problem.kv.stride_token = 132; }) == rows);
  CHECK(said([](auto& a) { a.problem.kv.stride_head = 68; }) == rows);
  CHECK(said([](auto& a) { a.problem.kv.stride_page = 4; }) == rows);
  CHECK(said([](auto& a) { a.tickets = unread<std::int32_t, 1>({5}); }) ==
        "attend_pages: fewer tickets than attend_pages_tickets()");
  CHECK(said([](auto& a) { a.problem.max_len_k = lacuna::Shape::kMaxTokens; }, 64, 9) ==
        "attend_pages: more tokens in all rows than 16 * 2^31 on the device");
  char const* const scratch = "attend_pages: the workspace is smaller than planned";
  CHECK(said([](auto& a) { a.scratch = {}; }) == scratch);
  CHECK(said([](auto& a) { a.scratch = a.scratch.part(0, a.scratch.capacity_bytes() - 1); }) == scratch);
}

TEST_CASE("refusals: bound_scores", "[kernels]") {
  auto const said = [](auto const& spoil, std::int64_t dim = 64, std::int64_t batch = 3, std::int64_t heads_q = 4) {
    auto problem = sound_batch<bfloat16>(dim, 1);
    problem.batch = problem.q.extents[0] = problem.kv.lens.extents[0] = batch;
    problem.q.extents[1] = heads_q;
    lacuna::BoundScoresBatchArgs<bfloat16> args{problem, unread<bfloat16 const, 5>({batch, 2, 2, 2, dim}), 2,
                                                unread<float, 2>({batch * 2, 2})};
    spoil(args);
    return std::string(bound_scores(kExec, args).message);
  };
  auto const nothing = [](auto&) {};
  CHECK(said(nothing, 32) == "bound_scores: dim must be 64, 128 or 256 on the device");
  CHECK(said(nothing, 64, 3, 34) == "bound_scores: on the device a group has at most 16 heads");
  CHECK(said(nothing, 64, 32768) == "bound_scores: batch * heads_kv must be at most 65535 on the device");
  char const* const rows = "bound_scores: on the device bounds of a page must begin at a multiple of 16 bytes";
  CHECK(said([](auto& a) { a.bounds.data = nowhere<bfloat16 const>(4); }) == rows);
  for (int axis : {0, 1, 2}) CHECK(said([axis](auto& a) { a.bounds.strides[axis] += 4; }) == rows);
}

TEST_CASE("refusals: page_bounds and append_kv", "[kernels]") {
  char const* const rows = "page_bounds: on the device every row must begin at a multiple of 4 bytes";
  lacuna::PageBoundsBatchArgs<bfloat16> const sound{sound_batch<bfloat16>().kv,           3, 4, 1,
                                                    unread<bfloat16, 5>({3, 2, 2, 2, 8}), 2};
  auto const said = [&](auto const& spoil) {
    auto args = sound;
    spoil(args);
    return std::string(page_bounds(kExec, args).message);
  };
  CHECK(said([](auto& a) { a.kv.k = nowhere<bfloat16 const>(1); }) == rows);
  CHECK(said([](auto& a) { a.kv.v = nowhere<bfloat16 const>(1); }) == rows);
  CHECK(said([](auto& a) { a.bounds.data = nowhere<bfloat16>(1); }) == rows);
  CHECK(said([](auto& a) { a.kv.stride_token = 17; }) == rows);
  CHECK(said([](auto& a) { a.kv.stride_head = 9; }) == rows);
  CHECK(said([](auto& a) { a.kv.stride_page = 1; }) == rows);
  auto const many = [](auto& a) {
    a.page_tokens = 1;
    a.max_len_k = a.new_tokens = a.bounds.extents[2] = 1 << 30;
  };
  CHECK(said(many) == "page_bounds: too many pages for one launch on the device");

  auto const fresh = unread<bfloat16 const, 3>({3, 2, 8});
  lacuna::AppendKvBatchArgs<bfloat16> append{sound, nowhere<bfloat16>(), nowhere<bfloat16>(), fresh, fresh};
  append.new_k.data = nowhere<bfloat16 const>(1);
  CHECK(append_kv(kExec, append).message == std::string(rows));
  append.new_k = fresh;
  append.new_v.strides[0] = 17;
  CHECK(append_kv(kExec, append).message == std::string(rows));
}

TEST_CASE("refusals: gather_kv", "[kernels]") {
  auto const said = [](auto const& spoil, std::int64_t batch = 3) {
    auto const kv = sound_batch<bfloat16>(64).kv;
    lacuna::GatherKvBatchArgs<bfloat16> args{kv, kv, nowhere<bfloat16>(), nowhere<bfloat16>(), batch, {}, {}, {}};
    args.index.tokens = unread<std::int32_t, 2>({batch * 2, 2});
    args.index.counts = unread<std::int32_t, 1>({batch * 2});
    spoil(args);
    return std::string(gather_kv(kExec, args).message);
  };
  char const* const rows = "gather_kv: on the device every row must begin and end at a multiple of 16 bytes";
  CHECK(said([](auto& a) { a.from.k = nowhere<bfloat16 const>(4); }) == rows);
  CHECK(said([](auto& a) { a.to.k = a.to_k = nowhere<bfloat16>(4); }) == rows);
  CHECK(said([](auto& a) { a.from.stride_token = a.to.stride_token = 132; }) == rows);
  CHECK(said([](auto& a) { a.from.stride_head = a.to.stride_head = 68; }) == rows);
  CHECK(said([](auto& a) { a.from.stride_page = a.to.stride_page = 4; }) == rows);
  CHECK(said([](auto& a) { a.from.dim = a.to.dim = 4; }) == rows);
  CHECK(said([](auto&) {}, 32768) == "gather_kv: batch * heads_kv must be at most 65535 on the device");
}

TEST_CASE("refusals: a tensor without axes has no map, and without a driver no tensor has", "[kernels]") {
  int devices = 0;
  bool const driver = cudaGetDeviceCount(&devices) == cudaSuccess;
  (void)cudaGetLastError();
  CUtensorMap map;
  lacuna::Status const s = lacuna::cuda::encode_tensor_map(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, {});
  CHECK(s.code == lacuna::Errc::launch_failed);
  CHECK(std::string(s.message) == (driver ? "tensor_map: the driver refused the tensor"
                                          : "tensor_map: the driver has no cuTensorMapEncodeTiled"));
}

}  // namespace

#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/path.cuh"
#include "lacuna/kernels/cuda/window_mass.cuh"
#include "lacuna/kernels/cuda/window_mass_wgmma.cuh"
#include "lacuna/kernels/cuda/window_sums.cuh"
#include "lacuna/kernels/window_scores.hpp"

namespace lacuna::cuda {

/// What the four launches hand to each other.
struct WindowScratch {
  float2* masses;    // [batch * heads_q, window, splits]: highest logit and sum of a split of the keys, base 2
  float* lse;        // [batch * heads_q, window], base 2
  float* diagonals;  // [rows, key tiles, diagonal width]
};

template <Storage T>
WindowScratch take_window_scratch(WindowSizes const& sizes, std::int64_t rows, bool diagonals, Workspace& memory) {
  std::int64_t const queries = sizes.heads * sizes.window;
  return {memory.take<float2>(queries * sizes.splits), memory.take<float>(queries),
          diagonals ? memory.take<float>(rows * sizes.key_tiles * sizes.diagonal_width()) : nullptr};
}

/// Grid: (256 distances, rows). A thread sums one distance over the key tiles that met it, in order.
template <Storage T>
__global__ void __launch_bounds__(256)
    join_diagonals_kernel(__grid_constant__ DeviceProblem<T> const p, __grid_constant__ WindowSizes const sizes,
                          std::int32_t heads_per_sequence, float const* partial, float* out, std::int64_t out_stride) {
  std::int32_t const distance = static_cast<std::int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
  std::int32_t const row = static_cast<std::int32_t>(blockIdx.y), sequence = row / heads_per_sequence;
  std::int32_t const len = p.len_k(sequence, row % heads_per_sequence * p.heads_kv / heads_per_sequence);
  if (distance >= len) return;
  std::int32_t const window = min(p.len_q(sequence), static_cast<std::int32_t>(sizes.window));
  std::int32_t const keys = sizes.keys, first_position = len - window;
  std::int32_t const first_key = max(first_position - distance, 0), last_key = len - 1 - distance;
  float sum = 0.0F;
  for (std::int32_t tile = first_key / keys; window > 0 && tile <= last_key / keys; ++tile) {
    std::int32_t const at = distance - first_position + tile * keys + keys - 1;
    sum += partial[(std::int64_t{row} * sizes.key_tiles + tile) * sizes.diagonal_width() + at];
  }
  out[row * out_stride + distance] = sum;
}

template <Storage T, int Dim>
Status launch_window_scores(Cuda exec, WindowScoresBatchArgs<T> const& args) {
  BatchProblem<T> const& problem = args.problem;
  WindowSizes const sizes(shape_of(problem), args.window, window_tile_keys(Dim));
  Workspace memory = args.scratch;
  std::int64_t const rows = args.columns.extent(0);
  bool const diagonals = args.diagonals.data != nullptr;
  WindowScratch const scratch = take_window_scratch<T>(sizes, rows, diagonals, memory);
  if (Status s = memory.check("window_scores: the workspace is smaller than planned"); !s) return s;

  DeviceProblem<T> const p(problem);
  auto const count = [](std::int64_t items, std::int64_t each) {
    return static_cast<unsigned>((items + each - 1) / each);
  };
  auto const pairs = static_cast<unsigned>(problem.batch * problem.heads_kv());
  auto const weigh = [&]<class Mass>(Mass, auto* kernel) {
    dim3 const grid(static_cast<unsigned>(sizes.splits), count(problem.group() * sizes.window, Mass::rows), pairs);
    return launch(exec, grid, Mass::threads, Mass::smem_bytes, kernel, p, sizes, scratch.masses);
  };
  using Mass = WindowMassTraits<T, Dim>;
  using Hopper = WindowMassWgmmaTraits<T, Dim>;
  // Only where it is asked for: it has not been run since its register counts were mended.
  bool const hopper = path() == Path::hopper && p.scale > 0.0F && has_hopper_body(window_mass_wgmma_kernel<Hopper>);
  Status s;
  if (sizes.window > 0) {  // else no grid, and sums of nothing
    s = hopper ? weigh(Hopper{}, window_mass_wgmma_kernel<Hopper>) : weigh(Mass{}, window_mass_kernel<Mass>);
    if (!s) return s;
    s = launch(exec, {count(sizes.heads * sizes.window, 256), 1, 1}, 256, 0, join_masses_kernel<T>, p, sizes,
               static_cast<float2 const*>(scratch.masses), scratch.lse);
    if (!s) return s;
  }
  WindowSumsParameters<T> const sums{
      p,
      sizes,
      scratch.lse,
      args.columns.data,
      args.columns.stride(0),
      scratch.diagonals,
      rows == problem.batch * problem.heads_q() ? 1 : static_cast<std::int32_t>(problem.group())};
  auto const sum_up = [&]<WindowOut Out>() {
    using Sums = WindowSumsTraits<T, Dim, Out>;
    return launch(exec, {static_cast<unsigned>(sizes.key_tiles), pairs, 1}, Sums::threads, Sums::smem_bytes(sizes),
                  window_sums_kernel<Sums>, sums);
  };
  s = diagonals                                    ? sum_up.template operator()<WindowOut::columns_and_diagonals>()
      : args.reduction == WindowReduction::highest ? sum_up.template operator()<WindowOut::highest>()
                                                   : sum_up.template operator()<WindowOut::columns>();
  if (!s || !diagonals) return s;
  return launch(exec, {count(problem.max_len_k, 256), static_cast<unsigned>(rows), 1}, 256, 0, join_diagonals_kernel<T>,
                p, sizes, static_cast<std::int32_t>(rows / problem.batch), static_cast<float const*>(scratch.diagonals),
                args.diagonals.data, args.diagonals.stride(0));
}

}  // namespace lacuna::cuda

namespace lacuna {

/// For windows of up to `window` queries; `rows` per sequence: heads_q or heads_kv.
inline void reserve_window_scores(Cuda, BatchShape const& shape, std::int64_t window, std::int64_t rows, bool diagonals,
                                  Workspace& memory) {
  cuda::WindowSizes const sizes(shape, window, cuda::window_tile_keys(shape.each.dim));
  (void)cuda::take_window_scratch<bfloat16>(sizes, shape.batch * rows, diagonals, memory);
}

template <Storage T>
Status window_scores(Cuda exec, WindowScoresBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  if (Status s = cuda::check_aligned(args.problem, "window_scores: rows must begin at multiples of 16 bytes"); !s)
    return s;
  if (args.problem.batch == 0 || args.problem.max_len_k == 0) return {};
  switch (args.problem.dim()) {
    case 64: return cuda::launch_window_scores<T, 64>(exec, args);
    case 128: return cuda::launch_window_scores<T, 128>(exec, args);
    case 256: return cuda::launch_window_scores<T, 256>(exec, args);
    default: return Status::invalid("window_scores: dim must be 64, 128 or 256", args.problem.dim(), 0);
  }
}

}  // namespace lacuna

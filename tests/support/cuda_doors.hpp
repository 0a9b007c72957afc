#pragma once

#include "lacuna/kernels/attend_band.hpp"
#include "lacuna/kernels/attend_blocks.hpp"
#include "lacuna/kernels/attend_dense.hpp"
#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/attend_vertical_slash.hpp"
#include "lacuna/kernels/group_mass.hpp"
#include "lacuna/kernels/pick_blocks.hpp"
#include "lacuna/kernels/pool_blocks.hpp"
#include "lacuna/kernels/pooled_scores.hpp"
#include "lacuna/kernels/window_scores.hpp"

// Tests of whole methods take the kernels from the kernels' own tests, which hold the other half of each line: compiled
// once, and not again for every method.

namespace lacuna {

extern template Status attend_band<bfloat16>(Cuda, AttendBandBatchArgs<bfloat16> const&);
extern template Status attend_blocks<bfloat16>(Cuda, AttendBlocksBatchArgs<bfloat16> const&);
extern template Status attend_dense<bfloat16>(Cuda, AttendDenseBatchArgs<bfloat16> const&);
extern template Status attend_pages<bfloat16>(Cuda, AttendPagesBatchArgs<bfloat16> const&);
extern template Status attend_vertical_slash<bfloat16>(Cuda, AttendVerticalSlashBatchArgs<bfloat16> const&);
extern template Status group_mass<bfloat16>(Cuda, GroupMassBatchArgs<bfloat16> const&);
extern template Status pick_blocks<bfloat16>(Cuda, PickBlocksBatchArgs<bfloat16> const&);
extern template Status pool_blocks<bfloat16>(Cuda, PoolBlocksBatchArgs<bfloat16> const&);
extern template Status pooled_scores<bfloat16>(Cuda, PooledScoresBatchArgs<bfloat16> const&);
extern template Status window_scores<bfloat16>(Cuda, WindowScoresBatchArgs<bfloat16> const&);

}  // namespace lacuna

// Includes LACUNA_EACH_TARGET, a file without include guard, once for each target: in that target's instruction set,
// and with these macros. What the file defines lives in namespace lacuna::cpu::LACUNA_TARGET, so no function is shared
// between instruction sets. Inside such a file: no lambdas (they would not take part), no functions from elsewhere that
// are worth vectorising.
//   LACUNA_TARGET        the namespace
//   LACUNA_LANES         floats of a vector
//   LACUNA_COLUMNS       vectors side by side in a register tile
//   LACUNA_CONVERT_F16   1 where the processor converts halves
//   LACUNA_FAST_EXP2     1 where it rounds to integers and scales by powers of two
//   LACUNA_BF16          products of bfloat16: 0 widened to float, 1 vdpbf16ps, 2 AMX tiles

#if defined(__CUDACC__)  // nvcc does not know g++'s pragmas, and hands them on
#pragma nv_diagnostic push
#pragma nv_diag_suppress 1675
#endif
#if defined(__clang__)  // a file may add nothing for some of the targets
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpragma-clang-attribute"
#endif

#if defined(__aarch64__)
#define LACUNA_COLUMNS 4
#else
#define LACUNA_COLUMNS 2
#endif
#define LACUNA_TARGET baseline
#define LACUNA_LANES 4
#define LACUNA_CONVERT_F16 0
#define LACUNA_FAST_EXP2 0
#define LACUNA_BF16 0
#include LACUNA_EACH_TARGET
#undef LACUNA_TARGET
#undef LACUNA_LANES
#undef LACUNA_COLUMNS
#undef LACUNA_CONVERT_F16

#if defined(__x86_64__)
#define LACUNA_CONVERT_F16 1

#define LACUNA_TARGET avx2
#define LACUNA_LANES 8
#define LACUNA_COLUMNS 2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#include LACUNA_EACH_TARGET
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef LACUNA_TARGET
#undef LACUNA_LANES
#undef LACUNA_COLUMNS
#undef LACUNA_FAST_EXP2

#define LACUNA_LANES 16
#define LACUNA_COLUMNS 4
#define LACUNA_FAST_EXP2 1

#define LACUNA_TARGET avx512
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#endif
#include LACUNA_EACH_TARGET
#undef LACUNA_TARGET
#undef LACUNA_BF16
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(                                                                                 \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16"))), \
    apply_to = function)
#endif

#define LACUNA_TARGET avx512_bf16
#define LACUNA_BF16 1
#include LACUNA_EACH_TARGET
#undef LACUNA_TARGET
#undef LACUNA_BF16

#define LACUNA_TARGET amx
#define LACUNA_BF16 2
#include LACUNA_EACH_TARGET
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef LACUNA_TARGET
#undef LACUNA_LANES
#undef LACUNA_COLUMNS
#undef LACUNA_CONVERT_F16
#endif

#undef LACUNA_FAST_EXP2
#undef LACUNA_BF16
#undef LACUNA_EACH_TARGET

#if defined(__clang__)
#pragma clang diagnostic pop
#endif
#if defined(__CUDACC__)
#pragma nv_diagnostic pop
#endif

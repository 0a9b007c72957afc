#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lacuna::cpu {

/// Instruction sets that kernels are compiled for, each named after its namespace. `baseline` is what every machine of
/// the architecture has: SSE2 on x86-64, NEON on AArch64. Whatever flags a file is compiled with, all are there.
enum class Target { baseline, avx2, avx512, avx512_bf16, amx };

inline constexpr Target kTargets[] = {Target::baseline, Target::avx2, Target::avx512, Target::avx512_bf16, Target::amx};

constexpr char const* name_of(Target target) {
  constexpr char const* kNames[] = {"baseline", "avx2", "avx512", "avx512_bf16", "amx"};
  return kNames[static_cast<int>(target)];
}

namespace detail {

#if defined(__x86_64__)

/// AMX: bf16 tiles in the processor, and the system's leave to use them. Linux grants it per process, for good.
inline bool may_use_tiles() {
#if defined(__linux__)
  std::uint32_t a = 7, c = 0, d = 0;
  __asm__ volatile("cpuid" : "+a"(a), "+c"(c), "=d"(d) : : "ebx");
  constexpr std::uint32_t kTilesAndBf16 = 1U << 24 | 1U << 22;
  if ((d & kTilesAndBf16) != kTilesAndBf16) return false;
  constexpr long kArchPrctl = 158, kRequestPermission = 0x1023, kTileData = 18;
  long result = kArchPrctl;
  __asm__ volatile("syscall" : "+a"(result) : "D"(kRequestPermission), "S"(kTileData) : "rcx", "r11", "memory");
  return result == 0;
#else
  return false;
#endif
}

inline Target best_target() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Target::baseline;
  bool const wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!wide) return Target::avx2;
  if (!__builtin_cpu_supports("avx512bf16")) return Target::avx512;
  return may_use_tiles() ? Target::amx : Target::avx512_bf16;
}

#else

inline Target best_target() { return Target::baseline; }

#endif

inline std::atomic<Target>& chosen_target() {
  static std::atomic<Target> chosen{best_target()};
  return chosen;
}

}  // namespace detail

/// Each target has what the ones before it have.
inline bool has_target(Target target) {
  static Target const best = detail::best_target();
  return target <= best;
}

/// What kernels run on: the best that this machine has, unless use_target said otherwise.
inline Target target() { return detail::chosen_target().load(std::memory_order_relaxed); }

/// For tests and measurements: every later call of the process runs on `target`, which has_target() must allow. Results
/// of two targets differ by rounding, so no call may be under way.
inline void use_target(Target target) { detail::chosen_target().store(target, std::memory_order_relaxed); }

template <class Pointer, std::size_t Count>
auto& choose(Pointer const (&choices)[Count]) {
  return *choices[static_cast<std::size_t>(target())];
}

}  // namespace lacuna::cpu

/// The function or object `name` of the namespace that target() names.
#if defined(__x86_64__)
#define LACUNA_FOR_TARGET(name)                                                                  \
  ::lacuna::cpu::choose<decltype(&::lacuna::cpu::baseline::name)>(                               \
      {&::lacuna::cpu::baseline::name, &::lacuna::cpu::avx2::name, &::lacuna::cpu::avx512::name, \
       &::lacuna::cpu::avx512_bf16::name, &::lacuna::cpu::amx::name})
#else
#define LACUNA_FOR_TARGET(name) \
  ::lacuna::cpu::choose<decltype(&::lacuna::cpu::baseline::name)>({&::lacuna::cpu::baseline::name})
#endif

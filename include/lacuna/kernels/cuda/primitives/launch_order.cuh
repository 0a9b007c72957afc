#pragma once

namespace lacuna::cuda {

/// At the top of a kernel that launch_overlapping() starts, before it touches global memory: waits until all that was
/// launched earlier on the stream has ended, then lets the next such launch begin, which waits here in turn. Its blocks
/// thus stand ready when this kernel's last ones leave.
__device__ __forceinline__ void launch_after_earlier() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace lacuna::cuda

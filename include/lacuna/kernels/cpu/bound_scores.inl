// Included by each_target.inl, once for each instruction set.
namespace lacuna::cpu::LACUNA_TARGET {

#if LACUNA_BF16
using avx512::bound_kernels;
#else

/// scores[page * stride] = <positive, high> + <negative, low>, for bounds [pages, 2, dim] with these strides.
template <Storage T>
inline void score_bounds(BoundsOfHead<T> const& bounds, float const* positive, float const* negative, float* scores,
                         std::int64_t stride) {
  std::int64_t const whole = bounds.dim / kLanes * kLanes;
  for (std::int64_t page = 0; page < bounds.pages; ++page) {
    T const* const low = bounds.data + page * bounds.stride_page;
    T const* const high = low + bounds.stride_high;
    Vec bound[2] = {};
    for (std::int64_t x = 0; x < whole; x += kLanes) {
      bound[0] += load(positive + x) * load(high + x);
      bound[1] += load(negative + x) * load(low + x);
    }
    if (whole < bounds.dim) {
      bound[0] += load(positive + whole) * load_first(high + whole, bounds.dim - whole);
      bound[1] += load(negative + whole) * load_first(low + whole, bounds.dim - whole);
    }
    scores[page * stride] = sum(bound[0] + bound[1]);
  }
}

template <Storage T>
inline constexpr BoundKernels<T> bound_kernels{&score_bounds<T>};

#endif

}  // namespace lacuna::cpu::LACUNA_TARGET

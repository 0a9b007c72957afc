#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

namespace lacuna {

/// A pointer, extents and strides in elements. Never owns; copying a view copies no data.
template <class T, int Rank>
struct TensorView {
  T* data = nullptr;
  std::array<std::int64_t, Rank> extents{};
  std::array<std::int64_t, Rank> strides{};

  constexpr std::int64_t extent(int axis) const { return extents[axis]; }
  constexpr std::int64_t stride(int axis) const { return strides[axis]; }

  constexpr std::int64_t count() const {
    std::int64_t elements = 1;
    for (std::int64_t e : extents) elements *= e;
    return elements;
  }

  /// Where the i-th slice along the first axis begins; never read when that slice is empty.
  constexpr T* slice(std::int64_t i) const { return data + i * strides[0]; }

  template <class... I>
    requires(sizeof...(I) == Rank)
  constexpr T& operator()(I... index) const {
    std::int64_t offset = 0;
    int axis = 0;
    ((offset += static_cast<std::int64_t>(index) * strides[axis++]), ...);
    return data[offset];
  }

  template <class U>
    requires(std::is_same_v<U, T const> && !std::is_const_v<T>)
  constexpr operator TensorView<U, Rank>() const { return {data, extents, strides}; }
};

/// A view over memory in which the last axis is dense and no axis is padded.
template <class T, int Rank>
constexpr TensorView<T, Rank> dense_view(T* data, std::array<std::int64_t, Rank> extents) {
  TensorView<T, Rank> view{data, extents, {}};
  std::int64_t stride = 1;
  for (int axis = Rank - 1; axis >= 0; --axis) {
    view.strides[axis] = stride;
    stride *= extents[axis];
  }
  return view;
}

}  // namespace lacuna

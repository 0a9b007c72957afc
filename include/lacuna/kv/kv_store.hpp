#pragma once

#include <concepts>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/kv_view.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// Where keys and values live, and what happens to the ones that were not picked.
/// - append(exec, k, v): tokens behind every head's last, [tokens, heads_kv, dim]; all of them or, with a Status, none.
/// - view(): what is held now; valid until the next change.
/// - retain(exec, kept): an evicting store forgets everything else; a full store agrees and changes nothing.
template <class K, class U>
concept KvStoreFor = requires(K store, K const& held, typename U::Index const& kept, TensorView<float const, 3> rows) {
  { store.append(Cpu{}, rows, rows) } -> std::same_as<Status>;
  { held.view() } -> std::same_as<KvView<float>>;
  { store.retain(Cpu{}, kept) } -> std::same_as<Status>;
};

namespace detail {

template <class T>
Status check_rows(TensorView<T const, 3> const& k, TensorView<T const, 3> const& v, std::int64_t heads_kv,
                  std::int64_t dim) {
  if (k.extents != v.extents)
    return Status::invalid("append: k and v must have the same extents", k.extent(0), v.extent(0));
  if (k.extent(1) != heads_kv) return Status::invalid("append: k must have one row per KV head", k.extent(1), heads_kv);
  if (k.extent(2) != dim) return Status::invalid("append: k must have the store's dim", k.extent(2), dim);
  if (k.stride(2) != 1 || v.stride(2) != 1)
    return Status::invalid("append: the last axis of k and v must be dense",
                           k.stride(2) != 1 ? k.stride(2) : v.stride(2), 1);
  if (k.extent(0) < 0) return Status::invalid("append: tokens must not be negative", k.extent(0), 0);
  if (k.extent(0) > 0 && (k.data == nullptr || v.data == nullptr))
    return Status::invalid("append: k and v must not be null");
  return {};
}

}  // namespace detail
}  // namespace lacuna

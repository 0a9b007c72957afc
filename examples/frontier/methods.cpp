#include "frontier/methods.hpp"

#include <iterator>

#include "frontier/method_list.hpp"

namespace frontier {

Scaled scaled_to(std::int64_t length) {
  if (length <= 2048) return {8, 16, 16, 5, 64, 128};
  if (length <= 4096) return {8, 16, 32, 7, 64, 128};
  if (length <= 8192) return {16, 32, 64, 13, 128, 256};
  return {16, 64, 128, 21, 256, 512};
}

namespace {

Method dense_method() {
  Method method{"dense"};
  method.sparse = false;
  method.start = [](lacuna::Cpu, Setup const&, Prompt const& prompt) -> std::unique_ptr<MethodRun> {
    return std::make_unique<DenseRun>(prompt);
  };
  method.describe = [](Setup const&) { return std::string(); };
  return method;
}

}  // namespace

std::vector<Method> const& all_methods() {
  static std::vector<Method> const methods = [] {
    std::vector<Method> all = {dense_method()};
    for (std::vector<Method> list : {prefill_methods(), cache_methods()})
      all.insert(all.end(), std::make_move_iterator(list.begin()), std::make_move_iterator(list.end()));
    return all;
  }();
  return methods;
}

Method const* find_method(std::string_view name) {
  for (Method const& method : all_methods())
    if (method.name == name) return &method;
  return nullptr;
}

std::int64_t window_for(Setup const& setup) {
  Scaled const scaled = scaled_to(setup.length);
  return setup.long_tail ? scaled.long_window : scaled.window;
}

std::int64_t queries_to_keep(Setup const& setup) { return setup.capacity_tokens; }

}  // namespace frontier

#include "frontier/methods.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include "frontier/method_list.hpp"

namespace frontier {

namespace {

Scaled scaled_to(std::int64_t length) {
  if (length <= 2048) return {8, 16, 16, 5, 64, 128, 64};
  if (length <= 4096) return {8, 16, 32, 7, 64, 128, 128};
  if (length <= 8192) return {16, 32, 64, 13, 128, 256, 256};
  return {16, 64, 128, 21, 256, 512, 512};
}

void set_if_asked(std::int64_t asked, std::int64_t& setting) {
  if (asked > 0) setting = asked;
}

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

Variant parse_variant(std::string const& text) {
  std::size_t colon = text.find(':');
  Variant variant{text, find_method(text.substr(0, colon))};
  if (variant.method == nullptr) {
    std::string known;
    for (Method const& method : all_methods()) known += (known.empty() ? "" : ", ") + method.name;
    throw std::invalid_argument("there is no method '" + text.substr(0, colon) + "'; there are " + known);
  }
  while (colon != std::string::npos) {
    std::size_t const begin = colon + 1;
    colon = text.find(':', begin);
    std::string const setting = text.substr(begin, colon - begin);
    std::size_t const equals = setting.find('=');
    std::string const key = setting.substr(0, equals);
    std::string const value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    std::int64_t* const place = key == "unit"        ? &variant.tuning.unit
                                : key == "window"    ? &variant.tuning.window
                                : key == "smoothing" ? &variant.tuning.smoothing
                                : key == "recent"    ? &variant.tuning.recent
                                : key == "floor"     ? &variant.tuning.floor
                                                     : nullptr;
    bool const number = !value.empty() && value.size() < 10 &&
                        std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (place == nullptr || !number || std::stoll(value) < 1)
      throw std::invalid_argument("'" + setting + "' in '" + text +
                                  "' is not one of unit, window, smoothing, recent, floor with a number after =");
    *place = std::stoll(value);
  }
  return variant;
}

Scaled scaled_for(Setup const& setup) {
  Scaled scaled = scaled_to(setup.length);
  Tuning const& tuning = setup.tuning;
  set_if_asked(tuning.unit, scaled.unit_tokens);
  set_if_asked(tuning.window, scaled.window);
  set_if_asked(tuning.window, scaled.long_window);
  set_if_asked(tuning.smoothing, scaled.smoothing);
  set_if_asked(tuning.recent, scaled.recent_tokens);
  return scaled;
}

std::int64_t window_for(Setup const& setup) {
  Scaled const scaled = scaled_for(setup);
  return setup.long_tail ? scaled.long_window : scaled.window;
}

CostInputs cost_inputs(Setup const& setup) {
  Scaled const scaled = scaled_for(setup);
  return {.window = window_for(setup),
          .lines = setup.size,
          .unit_tokens = scaled.unit_tokens,
          .smoothing = scaled.smoothing};
}

std::int64_t queries_to_keep(Setup const& setup) { return setup.capacity_tokens; }

}  // namespace frontier

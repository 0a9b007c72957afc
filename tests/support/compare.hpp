#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>
#include <type_traits>

#include "reference/attention.hpp"
#include "support/inputs.hpp"
#include "support/problem_case.hpp"

namespace support {

inline double largest_magnitude(std::vector<double> const& values) {
  double largest = 0.0;
  for (double x : values)
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  return largest;
}

/// How far one output element may lie from the double answer.
///   float: 2e-6 of the largest value. Where logits are huge one logit of error e moves the output by 2 e of the
///   spread. 16 bits: one rounding of the output, one of each probability, and the same logit error.
template <class T>
double value_tolerance(Data data, double largest_value, double exact, double spread, double logit_error) {
  double const logit_term = 2.0 * logit_error * spread;
  if constexpr (std::is_same_v<T, float>)
    return 2e-6 * largest_value + (data == Data::huge || data == Data::vast ? logit_term : 0.0) +
           1e-43;  // the last for denormals
  double const u = unit_roundoff<T>();
  return u * std::abs(exact) + (u + 0x1p-20) * spread + logit_term + 1e-40;
}

/// Empty when the answer in `got` is right, otherwise the first thing that is not. Where the exact answer is NaN or
/// infinite the library must not pretend to know better. `got` is a ProblemCase, or another owner of an answer.
template <class Case>
std::string explain_answer(Case const& got, reference::Attention const& exact, Data data = Data::random) {
  using T = typename Case::Element;
  reference::Inputs const& in = got.inputs();
  double const largest_value = largest_magnitude(in.v);
  double error_squares = 0.0;
  double exact_squares = 0.0;
  std::ostringstream why;
  why.precision(9);
  for (std::int64_t row = 0; row < in.len_q; ++row) {
    for (std::int64_t head = 0; head < in.heads_q; ++head) {
      std::size_t const at = static_cast<std::size_t>(row * in.heads_q + head);
      double const lse = got.lse_at(row, head);
      double const lse_tolerance = exact.logit_error[at] + 2e-6 * std::max(1.0, std::abs(exact.lse[at]));
      bool const lse_right = std::isfinite(exact.lse[at]) ? std::abs(lse - exact.lse[at]) <= lse_tolerance
                             : std::isnan(exact.lse[at])  ? !std::isfinite(lse)
                                                          : lse == exact.lse[at];
      if (!lse_right) {
        why << "row " << row << " head " << head << ": lse " << lse << ", exactly " << exact.lse[at];
        return why.str();
      }
      for (std::int64_t x = 0; x < in.dim; ++x) {
        std::size_t const slot = at * static_cast<std::size_t>(in.dim) + static_cast<std::size_t>(x);
        double const value = got.out_at(row, head, x);
        double const wanted = exact.out[slot];
        double const tolerance =
            value_tolerance<T>(data, largest_value, wanted, exact.spread[slot], exact.logit_error[at]);
        bool const right = std::isfinite(wanted) ? std::abs(value - wanted) <= tolerance : !std::isfinite(value);
        if (!right) {
          why << "row " << row << " head " << head << " channel " << x << ": " << value << ", exactly " << wanted
              << ", tolerance " << tolerance;
          return why.str();
        }
        if (!std::isfinite(wanted)) continue;
        error_squares += (value - wanted) * (value - wanted);
        exact_squares += wanted * wanted;
      }
    }
  }
  double const relative = std::is_same_v<T, float> ? 1e-4 : 1e-2;
  if (data != Data::huge && data != Data::tiny && data != Data::vast &&
      error_squares > relative * relative * exact_squares) {
    why << "relative error " << std::sqrt(error_squares / exact_squares) << " over all values";
    return why.str();
  }
  return "";
}

}  // namespace support

#include "frontier/progress.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ostream>

namespace frontier {
namespace {

std::string clock_text(double seconds) {
  auto const whole = static_cast<long>(seconds + 0.5);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%ld:%02ld", whole / 60, whole % 60);
  return text.data();
}

}  // namespace

Progress::Progress(double total_work, std::ostream& out, bool terminal)
    : total_work_(total_work), out_(out), terminal_(terminal) {
  if (total_work_ > 0.0 && terminal_) draw();
}

Progress::~Progress() {
  if (line_open_) out_ << '\n' << std::flush;
}

void Progress::advance(double work, std::string const& doing) {
  done_work_ += work;
  doing_ = doing;
  auto const interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
  bool const finished = done_work_ >= total_work_ * (1.0 - 1e-9);
  if (finished || Clock::now() - last_drawn_ >= interval) draw();
}

void Progress::draw() {
  constexpr int kBarWidth = 30;
  last_drawn_ = Clock::now();
  double const share = total_work_ > 0.0 ? std::min(1.0, done_work_ / total_work_) : 1.0;
  double const elapsed = std::chrono::duration<double>(last_drawn_ - start_).count();
  std::array<char, 8> percent{};
  std::snprintf(percent.data(), percent.size(), "%3.0f %%", 100.0 * share);
  std::string line;
  if (terminal_) {
    auto const filled = static_cast<std::size_t>(share * kBarWidth);
    line = "\r[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] ";
  }
  line += std::string(percent.data()) + "  " + clock_text(elapsed) + " gone";
  if (share > 0.0 && share < 1.0) line += ", " + clock_text(elapsed / share * (1.0 - share)) + " to go";
  line += "  " + doing_;
  // The blanks wipe what a longer line before this one has left.
  out_ << line << (terminal_ ? "\x1b[K" : "\n") << std::flush;
  line_open_ = terminal_;
}

}  // namespace frontier

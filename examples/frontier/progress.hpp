#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

namespace frontier {

/// How far the run is and when it will end: a bar that redraws itself on a terminal, otherwise a line every ten
/// seconds. Work is counted in any unit that grows with time spent, so that the estimate holds when pieces differ in
/// size.
class Progress {
 public:
  Progress(double total_work, std::ostream& out, bool terminal);
  ~Progress();
  Progress(Progress const&) = delete;
  Progress& operator=(Progress const&) = delete;

  /// `doing` names what has just been done.
  void advance(double work, std::string const& doing);

 private:
  using Clock = std::chrono::steady_clock;

  void draw();

  double total_work_;
  double done_work_ = 0.0;
  std::ostream& out_;
  bool terminal_;
  std::string doing_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_drawn_ = start_;
  bool line_open_ = false;
};

}  // namespace frontier

#include "lacuna/core/status.hpp"

#include <string>

#include "support/catch.hpp"

namespace {

using lacuna::Errc;
using lacuna::Expected;
using lacuna::Status;

TEST_CASE("status: a fresh one is a success", "[core]") {
  Status const status;
  CHECK(status);
  CHECK(status.code == Errc::ok);
  CHECK(std::string(status.message).empty());
}

TEST_CASE("status: a refusal carries its sentence and both numbers", "[core]") {
  Status const status = Status::invalid("tokens must be at least 1", 0, 1);
  CHECK_FALSE(status);
  CHECK(status.code == Errc::invalid_argument);
  CHECK(std::string(status.message) == "tokens must be at least 1");
  CHECK(status.value == 0);
  CHECK(status.bound == 1);
}

TEST_CASE("expected: holds a value or the reason for its absence", "[core]") {
  Expected<int> const value(7);
  CHECK(value);
  CHECK(*value == 7);
  CHECK(value.status());
  Expected<int> const none(Status::invalid("no"));
  CHECK_FALSE(none);
  CHECK(none.status().code == Errc::invalid_argument);
}

}  // namespace

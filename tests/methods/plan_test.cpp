#include "lacuna/methods/plan.hpp"

#include "lacuna/methods/quest.hpp"
#include "lacuna/methods/snap_kv.hpp"
#include "lacuna/methods/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"

namespace {

template <class M>
lacuna::Plan plan_of(M const& method, lacuna::Shape const& shape, int workers = 1) {
  lacuna::Cpu exec = support::backwards(workers);
  auto const plan = method.plan(exec, shape);
  REQUIRE(plan);
  return *plan;
}

TEST_CASE("plan: equal shapes and parameters give equal plans", "[methods]") {
  lacuna::Shape const shape{500, 500, 8, 2, 64};
  CHECK(plan_of(lacuna::VerticalSlash{}, shape) == plan_of(lacuna::VerticalSlash{}, shape));
  CHECK_FALSE(plan_of(lacuna::VerticalSlash{}, shape) == plan_of(lacuna::VerticalSlash{}, {1000, 1000, 8, 2, 64}));
}

TEST_CASE("plan: more workers or longer prompts never need less", "[methods]") {
  lacuna::Plan before;
  for (std::int64_t len : {0, 1, 100, 1000, 5000}) {
    lacuna::Plan const now = plan_of(lacuna::SnapKv{}, {len, len, 8, 2, 64});
    CHECK(now.workspace_bytes >= before.workspace_bytes);
    CHECK(now.index_bytes >= before.index_bytes);
    CHECK(plan_of(lacuna::SnapKv{}, {len, len, 8, 2, 64}, 3).workspace_bytes >= now.workspace_bytes);
    before = now;
  }
}

TEST_CASE("plan: memory grows with the length, never with its square", "[methods]") {
  auto const bytes = [](std::int64_t len) {
    return static_cast<double>(plan_of(lacuna::VerticalSlash{}, {len, len, 8, 2, 64}).workspace_bytes);
  };
  CHECK(bytes(1 << 20) <= 16.5 * bytes(1 << 16));
  lacuna::Quest const quest;
  CHECK(plan_of(quest, {1, 1 << 20, 8, 2, 64}).index_bytes < 1 << 16);
}

}  // namespace

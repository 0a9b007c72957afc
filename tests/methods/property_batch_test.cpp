#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/any_method.hpp"
#include "support/catch.hpp"
#include "support/memory.hpp"
#include "support/property.hpp"

// Sequences of a batch, ragged and some of them empty: each has the choice and the bits that it has alone.

namespace {

using support::Data, support::Random;
using namespace lacuna;

/// What can be told of a choice, whatever its kind.
template <class Index>
std::vector<double> choice_of(Index const& index) {
  std::vector<double> told{density(index)};
  if constexpr (std::is_same_v<Index, TokenIndex>)
    for (std::int64_t head = 0; head < index.heads(); ++head)
      for (std::int64_t token : support::units_of(index.tokens, head, index.counts(head)))
        told.push_back(static_cast<double>(token));
  return told;
}

template <class T, class M>
struct Member {
  support::BoundsCase<T> problem;
  support::GuardedMemory index_memory;
  std::vector<double> answer, choice;  // alone
};

template <class T, class M>
std::string batch_is_one_by_one(std::uint64_t seed) {
  Random random(seed);
  constexpr std::array<std::int64_t, 5> kDims{16, 32, 64, 96, 128};
  bool const one_query = M::moment == Moment::each_step;
  std::int64_t const group = support::kGroups[seed % 9], dim = kDims[seed % 5], heads_kv = 1 + random.below(3);
  M method;
  support::vary_method(method, random, heads_kv);
  for (Cpu const& exec : {Cpu{}, support::backwards(3)}) {
    std::vector<std::unique_ptr<Member<T, M>>> members;
    std::vector<Sequence<M, T>> sequences;
    std::vector<Shape> shapes;
    for (std::int64_t b = 0; b < 4; ++b) {
      std::int64_t const len_k = b == 1 && !one_query ? 0 : 1 + random.below(b == 2 ? 150 : 50);
      support::Sizes const sizes{one_query ? 1 : len_k, len_k, heads_kv, group, dim};
      auto const in = support::make_inputs<T>(sizes, Data::random, random.bits());
      support::BoundsCase<T> alone(in, support::page_of(method));
      support::MethodRun<M> run(method, alone.problem());
      if (std::string const why = run.run(alone.problem(), alone.problem_case().out()); !why.empty()) return why;
      members.emplace_back(new Member<T, M>{{in, support::page_of(method)},
                                            support::GuardedMemory(run.plan().index_bytes),
                                            alone.problem_case().answer(),
                                            choice_of(run.index())});
      Problem<T> const problem = members.back()->problem.problem();
      shapes.push_back(shape_of(problem));
      Workspace memory = members.back()->index_memory.workspace();
      sequences.push_back(
          {problem, method.make_index(shapes.back(), memory), members.back()->problem.problem_case().out()});
    }
    auto const bytes = plan_batch(method, exec, std::span<Shape const>(shapes));
    if (!bytes) return bytes.status().message;
    support::GuardedMemory scratch(*bytes);
    Status const s = run_batch(method, exec, std::span<Sequence<M, T>>(sequences), scratch.workspace());
    if (!s) return s.message;
    for (std::size_t b = 0; b < members.size(); ++b) {
      if (!support::same_numbers(members[b]->problem.problem_case().answer(), members[b]->answer))
        return "sequence " + std::to_string(b) + " has other bits than alone";
      if (choice_of(sequences[b].index) != members[b]->choice)
        return "sequence " + std::to_string(b) + " has another choice than alone";
      if (!members[b]->index_memory.guards_untouched()) return "wrote past the memory of an index";
    }
    if (!scratch.guards_untouched()) return "wrote past the planned memory";
  }
  return "";
}

TEST_CASE("property: sequences of a batch are as they are alone, every method", "[properties]") {
  support::each_method(support::AnyMethods{}, support::property_cases(9),
                       []<class M>(std::uint64_t seed) { return batch_is_one_by_one<float, M>(seed); });
}

TEST_CASE("property: sequences of a batch in 16 bits are as they are alone, every method", "[properties]") {
  support::each_method(support::AnyMethods{}, support::property_cases(9),
                       []<class M>(std::uint64_t seed) { return batch_is_one_by_one<bfloat16, M>(seed); });
}

}  // namespace

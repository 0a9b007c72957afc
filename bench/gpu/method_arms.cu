// Whole prefill methods behind a C interface, selection and attention, for bench/peers/methods.py: a method by name,
// with one number that says how much it keeps.
//   nvcc -std=c++20 -O3 -shared -Xcompiler -fPIC -gencode arch=compute_90a,code=sm_90a -I include -o libarms.so
//     bench/gpu/method_arms.cu bench/gpu/prefill_arms.cu

#include <cuda_runtime.h>

#include <concepts>
#include <memory>
#include <string_view>
#include <vector>

#include "lacuna/methods/block_sparse.hpp"
#include "lacuna/methods/block_top_p.hpp"
#include "lacuna/methods/dense.hpp"
#include "lacuna/methods/flex_prefill.hpp"
#include "lacuna/methods/streaming.hpp"
#include "lacuna/methods/vertical_slash_gqa.hpp"
#include "lacuna/methods/x_attention.hpp"
#include "tensors.cuh"

namespace {

using bench::T;
using bench::Tensors;

template <class U, int Rank>
lacuna::TensorView<U, Rank> on_host(lacuna::TensorView<U, Rank> view, std::vector<U>& memory) {
  std::int64_t elements = 1;
  for (std::int64_t extent : view.extents) elements *= extent;
  memory.resize(static_cast<std::size_t>(elements));
  cudaMemcpy(memory.data(), view.data, memory.size() * sizeof(U), cudaMemcpyDeviceToHost);
  view.data = memory.data();
  return view;
}

/// Share of the causal pairs that an index in device memory keeps, of a prompt of its own.
double density_of(lacuna::DenseIndex const& index) { return density(index); }
double density_of(lacuna::BandIndex const& index) { return density(index); }
double density_of(lacuna::VerticalSlashIndex index) {
  std::vector<std::int32_t> columns, diagonals, counts;
  index.columns = on_host(index.columns, columns);
  index.diagonals = on_host(index.diagonals, diagonals);
  index.counts = on_host(index.counts, counts);
  std::int64_t const every = index.heads() / 4;  // four heads stand for all: the walk is long
  for (auto* view : {&index.columns, &index.diagonals, &index.counts}) {
    view->extents[0] = 4;
    view->strides[0] *= every;
  }
  return density(index);
}
/// Every row keeps its own block, half of which is in the future.
double density_of(lacuna::BlockIndex index) {
  std::vector<std::int32_t> counts;
  index.counts = on_host(index.counts, counts);
  double blocks = 0.0;
  for (std::int64_t head = 0; head < index.heads(); ++head)
    for (std::int64_t r = 0; r < index.rows(); ++r) blocks += index.counts(head, r);
  auto const block = static_cast<double>(index.block_tokens), len = static_cast<double>(index.len_k);
  double const future = static_cast<double>(index.rows()) * block * (block - 1.0) / 2.0;
  return (blocks / static_cast<double>(index.heads()) * block * block - future) / (len * (len + 1.0) / 2.0);
}

class Arm {
 public:
  virtual ~Arm() = default;
  virtual lacuna::Status plan(std::int64_t* bytes) = 0;
  virtual void place(void* index, void* workspace) = 0;
  virtual lacuna::Status run(lacuna::Cuda exec) = 0;
  virtual lacuna::Status select(lacuna::Cuda exec) = 0;
  virtual lacuna::Status attend(lacuna::Cuda exec) = 0;
  virtual double density() = 0;
  virtual bool lists(bench::Lists* lists) const = 0;
};

template <class Method>
class ArmOf final : public Arm {
 public:
  ArmOf(Method const& method, Tensors const& t)
      : method_(method), problem_(bench::problem_of(t)), out_(bench::out_of(t)) {}

  lacuna::Status plan(std::int64_t* bytes) override {
    auto const plan = method_.plan(lacuna::Cuda{nullptr}, shape_of(problem_));
    if (!plan) return plan.status();
    plan_ = *plan;
    bytes[0] = static_cast<std::int64_t>(plan_.index_bytes);
    bytes[1] = static_cast<std::int64_t>(plan_.workspace_bytes);
    return {};
  }
  void place(void* index, void* workspace) override {
    lacuna::Workspace memory(index, plan_.index_bytes);
    index_ = method_.make_index(shape_of(problem_), memory);
    workspace_ = {workspace, plan_.workspace_bytes};
  }
  lacuna::Status run(lacuna::Cuda exec) override { return method_.run(exec, problem_, workspace_, index_, out_); }
  lacuna::Status select(lacuna::Cuda exec) override { return method_.select(exec, problem_, workspace_, index_); }
  lacuna::Status attend(lacuna::Cuda exec) override { return lacuna::attend(exec, problem_, index_, workspace_, out_); }
  double density() override { return density_of(index_); }
  bool lists(bench::Lists* lists) const override {
    if constexpr (std::same_as<typename Method::Index, lacuna::BlockIndex>)
      *lists = {index_.blocks.data,      index_.counts.data, index_.counts.extent(0),
                index_.counts.extent(1), index_.room,        index_.block_tokens};
    return std::same_as<typename Method::Index, lacuna::BlockIndex>;
  }

 private:
  Method method_;
  lacuna::BatchProblem<T> problem_;
  lacuna::AttentionOut<T> out_;
  lacuna::Plan plan_;
  lacuna::Workspace workspace_;
  typename Method::Index index_{};
};

/// `amount`: tokens of a budget, columns and as many diagonals, or a share of the mass.
std::unique_ptr<Arm> make_arm(std::string_view name, double amount, Tensors const& t) {
  using namespace lacuna;
  auto const tokens = static_cast<std::int64_t>(amount);
  auto const arm = [&]<class M>(M const& method) -> std::unique_ptr<Arm> {
    return std::make_unique<ArmOf<M>>(method, t);
  };
  auto const window = [&](auto method, std::int64_t queries) {
    method.selector.inner.window = queries;
    return arm(method);
  };
  if (name == "dense") return arm(Dense{});
  if (name == "streaming") return arm(Streaming{.sink_tokens = 128, .window_tokens = tokens});
  if (name == "block-sparse-16") return arm(BlockSparseOf<16>{.budget = {.tokens = tokens}});
  if (name == "block-sparse-64") return arm(BlockSparseOf<64>{.budget = {.tokens = tokens}});
  if (name == "block-sparse-128") return arm(BlockSparseOf<128>{.budget = {.tokens = tokens}});
  if (name == "block-sparse-gqa-16") return arm(BlockSparseGqaOf<16>{.budget = {.tokens = tokens}});
  if (name == "block-top-p-16") return arm(BlockTopPOf<16>{.budget = {.share = amount, .floor_tokens = 48}});
  if (name == "x-attention-128") return arm(XAttention{.budget = {.share = amount}});
  if (name == "block-antidiagonal-16") return arm(BlockAntidiagonal{.budget = {.tokens = tokens}});
  if (name == "vertical-slash") return arm(VerticalSlash{.budget = {.columns = tokens, .diagonals = tokens}});
  if (name == "vertical-slash-gqa") {
    VerticalSlashGqa gqa{.budget = {.columns = tokens, .diagonals = tokens}};
    return arm(gqa);
  }
  if (name == "flex-prefill") return window(FlexPrefill{.budget = {.share = amount, .floor_tokens = 128}}, 512);
  return nullptr;
}

}  // namespace

extern "C" {

/// Null for a name that is not known here. The tensors must outlive it.
void* lacuna_method(char const* name, double amount, Tensors const* t) { return make_arm(name, amount, *t).release(); }
void lacuna_method_free(void* method) { delete static_cast<Arm*>(method); }

/// bytes: of the index and of the workspace, which `place` is then given.
int lacuna_method_plan(void* method, std::int64_t* bytes) {
  return bench::report(static_cast<Arm*>(method)->plan(bytes));
}
void lacuna_method_place(void* method, void* index, void* workspace) {
  static_cast<Arm*>(method)->place(index, workspace);
}

int lacuna_method_run(void* method, void* stream) {
  return bench::report(static_cast<Arm*>(method)->run({static_cast<cudaStream_t>(stream)}));
}
int lacuna_method_select(void* method, void* stream) {
  return bench::report(static_cast<Arm*>(method)->select({static_cast<cudaStream_t>(stream)}));
}
/// Over the index that the last selection left.
int lacuna_method_attend(void* method, void* stream) {
  return bench::report(static_cast<Arm*>(method)->attend({static_cast<cudaStream_t>(stream)}));
}
double lacuna_method_density(void* method) { return static_cast<Arm*>(method)->density(); }

/// Where the lists of a method of blocks lie, row by row of `room` ids; 1 for other methods.
int lacuna_method_lists(void* method, bench::Lists* lists) { return static_cast<Arm*>(method)->lists(lists) ? 0 : 1; }

}  // extern "C"

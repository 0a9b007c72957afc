#include "transformer/safetensors.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <utility>

namespace transformer {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian, and so is this reader");

// The format's own limit: no header is longer.
constexpr std::uint64_t kLargestHeader = 100'000'000;

std::uint64_t bytes_per_element(std::string const& dtype) {
  if (dtype == "F32") return 4;
  if (dtype == "BF16" || dtype == "F16") return 2;
  return 0;
}

float float_from_half(std::uint16_t bits) {
  std::uint32_t const sign = (bits & 0x8000U) << 16U;
  std::uint32_t const magnitude = bits & 0x7fffU;
  if (magnitude >= 0x7c00U) return std::bit_cast<float>(sign | 0x7f800000U | (magnitude & 0x3ffU) << 13U);
  // Moving the exponent by a product keeps subnormal numbers right: 2^112 is the difference of the two biases.
  float const value = std::bit_cast<float>(magnitude << 13U) * 0x1p112F;
  return sign != 0 ? -value : value;
}

std::string text_of(std::vector<std::int64_t> const& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

/// nlohmann keeps the last of two equal keys in silence; a header that names a tensor twice is damaged.
nlohmann::json parse_without_duplicates(std::string_view text, std::string& duplicate) {
  std::set<std::string> names;
  auto const notice = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    if (event == nlohmann::json::parse_event_t::key && depth == 1 && !names.insert(parsed.get<std::string>()).second)
      duplicate = parsed.get<std::string>();
    return true;
  };
  return nlohmann::json::parse(text, notice);
}

}  // namespace

MappedFile::MappedFile(std::filesystem::path const& file) {
  int const descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw std::runtime_error(file.string() + ": cannot be opened: " + std::strerror(errno));
  struct stat info {};
  bool const regular = ::fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode);
  auto const size = regular ? static_cast<std::size_t>(info.st_size) : 0;
  void* memory = size == 0 ? MAP_FAILED : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  ::close(descriptor);
  if (!regular) throw std::runtime_error(file.string() + ": is not a regular file");
  if (size == 0) return;
  if (memory == MAP_FAILED) throw std::runtime_error(file.string() + ": cannot be mapped");
  bytes_ = {static_cast<std::byte const*>(memory), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

SafeTensors::SafeTensors(std::filesystem::path const& file) : file_(file), map_(file) {
  std::span<std::byte const> const bytes = map_.bytes();
  std::uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) fail("is too short to be a safetensors file");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  std::uint64_t const rest = bytes.size() - sizeof header_bytes;
  if (header_bytes > kLargestHeader || header_bytes > rest)
    fail("says that its header has " + std::to_string(header_bytes) + " bytes, but only " + std::to_string(rest) +
         " follow");
  data_ = bytes.subspan(sizeof header_bytes + header_bytes);
  parse_header(bytes.subspan(sizeof header_bytes, header_bytes));
  check_ranges();
}

void SafeTensors::fail(std::string const& what) const { throw std::runtime_error(file_.string() + ": " + what); }

void SafeTensors::parse_header(std::span<std::byte const> header) {
  std::string duplicate;
  nlohmann::json json;
  try {
    json = parse_without_duplicates({reinterpret_cast<char const*>(header.data()), header.size()}, duplicate);
  } catch (nlohmann::json::exception const&) {
    fail("its header is not JSON");
  }
  if (!json.is_object()) fail("its header is not a JSON object");
  if (!duplicate.empty()) fail("its header names tensor '" + duplicate + "' twice");

  for (auto const& [name, entry] : json.items()) {
    if (name == "__metadata__") continue;
    try {
      Tensor tensor{entry.at("dtype").get<std::string>(), {}, 0, 0};
      for (auto const& extent : entry.at("shape")) {
        if (!extent.is_number_unsigned()) fail("tensor '" + name + "' has a shape that is not made of whole numbers");
        tensor.shape.push_back(extent.get<std::int64_t>());
      }
      auto const& offsets = entry.at("data_offsets");
      if (offsets.size() != 2 || !offsets.at(0).is_number_unsigned() || !offsets.at(1).is_number_unsigned())
        fail("tensor '" + name + "' needs two whole numbers as data_offsets");
      tensor.begin = offsets.at(0).get<std::uint64_t>();
      tensor.end = offsets.at(1).get<std::uint64_t>();
      tensors_.emplace(name, std::move(tensor));
    } catch (nlohmann::json::exception const&) {
      fail("tensor '" + name + "' lacks a dtype, a shape or data_offsets, or has one of the wrong type");
    }
  }
}

void SafeTensors::check_ranges() const {
  for (auto const& [name, tensor] : tensors_) {
    std::uint64_t const width = bytes_per_element(tensor.dtype);
    if (width == 0) fail("tensor '" + name + "' has dtype " + tensor.dtype + ", but only F32, BF16 and F16 are read");
    if (tensor.begin > tensor.end || tensor.end > data_.size())
      fail("tensor '" + name + "' lies in bytes " + std::to_string(tensor.begin) + ".." + std::to_string(tensor.end) +
           " of the data, but the file has only " + std::to_string(data_.size()) + ": truncated or damaged");
    std::uint64_t bytes = width;
    for (std::int64_t extent : tensor.shape) {
      // Compared by division, because a damaged shape may multiply past 64 bits.
      if (extent < 0 || (extent != 0 && bytes > data_.size() / static_cast<std::uint64_t>(extent)))
        fail("tensor '" + name + "' has shape " + text_of(tensor.shape) + ", which is larger than the file");
      bytes *= static_cast<std::uint64_t>(extent);
    }
    if (bytes != tensor.end - tensor.begin)
      fail("tensor '" + name + "' of dtype " + tensor.dtype + " and shape " + text_of(tensor.shape) + " needs " +
           std::to_string(bytes) + " bytes, but has " + std::to_string(tensor.end - tensor.begin));
  }

  std::vector<std::pair<std::uint64_t, std::string>> starts;
  for (auto const& [name, tensor] : tensors_)
    if (tensor.begin != tensor.end) starts.emplace_back(tensor.begin, name);
  std::sort(starts.begin(), starts.end());
  for (std::size_t i = 1; i < starts.size(); ++i)
    if (tensors_.at(starts[i - 1].second).end > starts[i].first)
      fail("tensor '" + starts[i].second + "' overlaps tensor '" + starts[i - 1].second + "'");
}

std::vector<float> SafeTensors::read(std::string const& name, std::vector<std::int64_t> const& shape) const {
  std::vector<float> values;
  read_into(values, name, shape);
  return values;
}

void SafeTensors::read_into(std::vector<float>& destination, std::string const& name,
                            std::vector<std::int64_t> const& shape) const {
  auto const found = tensors_.find(name);
  if (found == tensors_.end()) fail("tensor '" + name + "' is missing");
  Tensor const& tensor = found->second;
  if (tensor.shape != shape)
    fail("tensor '" + name + "' has shape " + text_of(tensor.shape) + ", but the configuration needs " +
         text_of(shape));

  std::span<std::byte const> const bytes = data_.subspan(tensor.begin, tensor.end - tensor.begin);
  std::uint64_t const width = bytes_per_element(tensor.dtype);
  std::size_t const elements = bytes.size() / width;
  std::size_t const old_size = destination.size();
  destination.resize(old_size + elements);
  float* const out = destination.data() + old_size;
  if (elements == 0) return;
  if (tensor.dtype == "F32") {
    std::memcpy(out, bytes.data(), bytes.size());
    return;
  }
  bool const brain = tensor.dtype == "BF16";
  for (std::size_t i = 0; i < elements; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + i * width, width);
    out[i] = brain ? std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U) : float_from_half(bits);
  }
}

}  // namespace transformer

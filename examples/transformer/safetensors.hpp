#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace transformer {

/// A file in memory, read only, for as long as this object lives.
class MappedFile {
 public:
  explicit MappedFile(std::filesystem::path const& file);
  ~MappedFile();
  MappedFile(MappedFile const&) = delete;
  MappedFile& operator=(MappedFile const&) = delete;

  std::span<std::byte const> bytes() const { return bytes_; }

 private:
  std::span<std::byte const> bytes_;
};

/// The weights of one .safetensors file: eight bytes of header length, a JSON header that names dtype, shape and byte
/// range of every tensor, then the raw row-major data. The constructor checks everything that the header claims against
/// the file; every error is a std::runtime_error that names the file and the tensor.
class SafeTensors {
 public:
  explicit SafeTensors(std::filesystem::path const& file);

  /// The tensor as f32 (from BF16, F16 or F32), row-major. Throws unless the file has it in exactly this shape.
  std::vector<float> read(std::string const& name, std::vector<std::int64_t> const& shape) const;

  /// Appends instead, so that matrices that are always used together can lie together.
  void read_into(std::vector<float>& destination, std::string const& name,
                 std::vector<std::int64_t> const& shape) const;

 private:
  struct Tensor {
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0;  // in data_
    std::uint64_t end = 0;
  };

  [[noreturn]] void fail(std::string const& what) const;
  void parse_header(std::span<std::byte const> header);
  void check_ranges() const;

  std::filesystem::path file_;
  MappedFile map_;
  std::span<std::byte const> data_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace transformer

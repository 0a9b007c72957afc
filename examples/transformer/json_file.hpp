#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace transformer {

/// The text of a file. Throws std::runtime_error naming the file.
std::string read_text(std::filesystem::path const& file);

/// A file that holds one JSON object. Throws std::runtime_error naming the file and where the text goes wrong.
nlohmann::json read_json_object(std::filesystem::path const& file);

}  // namespace transformer

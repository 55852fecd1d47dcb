// A .npz file: a zip archive of arrays, stored or deflated. What is stored stays where it lies;
// what is deflated is unpacked when it is read. Belongs to one thread; arrays live as long as it
// does.
#pragma once

#include <filesystem>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "stages/learn/files.hpp"
#include "stages/learn/zip_file.hpp"
#include "stages/preprocess/npy.hpp"

namespace cifarpipe::preprocess {

class Npz {
 public:
  /// `name` is what messages call it.
  Npz(const std::filesystem::path& file, std::string name);

  std::vector<std::string> names() const;
  /// Checks the archive's checksum. Throws an Error that names file and array.
  NpyArray read(const std::string& array);

 private:
  std::string name_;
  learn::MappedFile file_;
  std::map<std::string, learn::ZipEntry, std::less<>> entries_;
  std::list<std::vector<std::uint8_t>> unpacked_;
};

}  // namespace cifarpipe::preprocess

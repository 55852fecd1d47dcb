// The images that could not be used: all of them, and what follows from it. One thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/stage.hpp"
#include "stages/preprocess/splits.hpp"

namespace cifarpipe::preprocess {

class BadImages {
 public:
  BadImages(const ImageSource& source, StageContext& context)
      : source_(source), context_(context) {}

  /// Also a line of the run's log.
  void add(const Item& item, const std::string& reason);
  std::size_t count() const { return bad_.size(); }

  /// To be called when all `items` were seen. If there are bad images: throws an Error with the
  /// first of them unless `skip`, and also then if none is left of a class in a split.
  void judge(const std::vector<Item>& items, bool skip) const;
  /// split,file,reason
  void write(const std::filesystem::path& csv) const;

 private:
  struct Bad {
    Item item;
    std::string name;
    std::string reason;
  };

  void require_some_of_each_class(const std::vector<Item>& items) const;

  const ImageSource& source_;
  StageContext& context_;
  std::vector<Bad> bad_;
};

}  // namespace cifarpipe::preprocess

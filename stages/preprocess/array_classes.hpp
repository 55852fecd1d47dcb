// The classes of NumPy arrays: names for their labels, and what to say about labels that no image
// has. Pure function: any thread.
#pragma once

#include <string>
#include <vector>

#include "stages/preprocess/image_source.hpp"

namespace cifarpipe::preprocess {

struct ArrayClasses {
  std::vector<std::string> names;    ///< By label.
  std::vector<std::string> remarks;  ///< Not wrong, but seldom meant: classes without images.
};

/// `names` are those that came with the arrays, or empty: then they are "0", "1", … Throws an Error
/// for labels that they do not do for and, where there are none, for labels with gaps: nobody has
/// said then that there is a class in the gap. `place` is what it calls the arrays.
ArrayClasses classes_of(const std::string& place, std::vector<std::string> names,
                        const std::vector<SourceSplit>& splits);

}  // namespace cifarpipe::preprocess

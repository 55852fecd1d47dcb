// A dataset's classes put together in groups, which become the classes to learn. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/value.hpp"

namespace cifarpipe {

/// The same groups with the dataset's names: CIFAR-10's long names (airplane) mean the short ones
/// (plane) where only those are classes.
Groups with_dataset_names(Groups groups, const std::vector<std::string>& classes);

/// The group of each class. Throws an Error with a sentence when a class is in none (all such are
/// named) or in two, or when a group names a class that there is not.
std::vector<std::int32_t> map_to_groups(const Groups& groups,
                                        const std::vector<std::string>& classes);

}  // namespace cifarpipe

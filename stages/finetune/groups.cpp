#include "stages/finetune/groups.hpp"

#include <algorithm>

#include "pipeline/diagnostics.hpp"
#include "pipeline/error.hpp"
#include "stages/learn/cifar_names.hpp"

namespace cifarpipe {
namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Groups with_dataset_names(Groups groups, const std::vector<std::string>& classes) {
  for (auto& [group, members] : groups) {
    for (std::string& member : members) {
      for (std::size_t i = 0; i < learn::kCifar10LongNames.size(); ++i) {
        const std::string_view name = learn::kCifar10ShortNames[i];
        if (member != learn::kCifar10LongNames[i] || contains(classes, member)) continue;
        if (contains(classes, name)) member = name;
        break;
      }
    }
  }
  return groups;
}

std::vector<std::int32_t> map_to_groups(const Groups& groups,
                                        const std::vector<std::string>& classes) {
  std::vector<std::int32_t> group_of(classes.size(), -1);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].first.empty())
      throw Error("a group needs a name; one is called \"\"", ErrorKind::usage);
    for (const std::string& name : groups[g].second) {
      const auto found = std::find(classes.begin(), classes.end(), name);
      if (found == classes.end()) {
        const std::string near = nearest(name, classes);
        throw Error("the group '" + groups[g].first + "' names '" + name +
                        "', which is not a class of the dataset" +
                        (near.empty() ? "" : "; did you mean '" + near + "'?"),
                    ErrorKind::usage);
      }
      std::int32_t& of = group_of[static_cast<std::size_t>(found - classes.begin())];
      if (of == static_cast<std::int32_t>(g)) {
        throw Error("the group '" + groups[g].first + "' names the class '" + name + "' twice",
                    ErrorKind::usage);
      }
      if (of != -1) {
        throw Error("the class '" + name + "' is in two groups, '" +
                        groups[static_cast<std::size_t>(of)].first + "' and '" + groups[g].first +
                        "'",
                    ErrorKind::usage);
      }
      of = static_cast<std::int32_t>(g);
    }
  }
  std::string missing;
  for (std::size_t c = 0; c < classes.size(); ++c) {
    if (group_of[c] == -1) missing += (missing.empty() ? "'" : ", '") + classes[c] + "'";
  }
  if (!missing.empty())
    throw Error("these classes of the dataset are in no group: " + missing, ErrorKind::usage);
  return group_of;
}

}  // namespace cifarpipe

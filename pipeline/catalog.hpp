// The stages that a pipeline can use, as the checks, the plan and the supervisor see them: without
// any plugin's code. `plugins/catalog.hpp` fills it from plugin files; tests fill it by hand.
// Read-only after construction: any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/stage.hpp"

namespace cifarpipe {

/// One stage of one plugin file.
struct StageType {
  StageDescription description;
  std::string plugin_name;
  std::string plugin_version;
  std::string plugin_path;    ///< Absolute.
  std::string build_id;       ///< Hex; changes whenever the plugin is rebuilt from other source.
  std::string torch_version;  ///< Empty if the plugin does not link libtorch.
  bool cuda = false;          ///< Linked with a CUDA build of libtorch.
};

class StageCatalog {
 public:
  /// A plugin file, or a folder of the search path, that cannot be used as it is.
  struct Problem {
    std::string path;
    std::string message;              ///< A whole sentence, with the path.
    std::vector<std::string> stages;  ///< What it would have offered, as far as one can tell.
  };

  virtual ~StageCatalog() = default;
  /// The stage that `uses = "…"` names, or null. Borrowed for the catalog's life.
  virtual const StageType* find(std::string_view uses) const = 0;
  /// All that can be found, sorted; for suggestions and for `cifarpipe stages`.
  virtual std::vector<std::string> names() const = 0;
  /// Why `uses` cannot be found although a plugin file for it is there (a wrong stamp, say): a
  /// sentence, or nothing.
  virtual std::optional<std::string> problem_for(std::string_view uses) const = 0;
  /// All that was found and cannot be used; told to those whom it concerns.
  virtual const std::vector<Problem>& problems() const = 0;
};

}  // namespace cifarpipe

// The parameters of the stage `finetune`; its defaults are the reference's fine-tuning. Values
// only: any thread.
#pragma once

#include <string>
#include <vector>

#include "stages/recipe/recipe_params.hpp"

namespace cifarpipe {

struct FinetuneParams {
  std::string weights;
  std::string architecture = "auto";
  Groups groups;
  std::vector<std::string> freeze = {"auto"};
  std::vector<std::string> reset = {"auto"};
  RecipeParams recipe{.epochs = 5};

  static Schema<FinetuneParams> schema();
};

}  // namespace cifarpipe

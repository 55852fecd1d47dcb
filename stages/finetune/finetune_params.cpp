#include "stages/finetune/finetune_params.hpp"

namespace cifarpipe {
namespace {

std::vector<std::string> with_auto(std::vector<std::string> names) {
  names.insert(names.begin(), "auto");
  return names;
}

}  // namespace

Schema<FinetuneParams> FinetuneParams::schema() {
  using P = FinetuneParams;
  Schema<P> schema;
  schema
      .field("weights", &P::weights,
             "A file with weights to begin from (.pth of torch.save, or safetensors), instead of "
             "the input 'model'.")
      .input_path()
      .field("architecture", &P::architecture,
             "The network that 'weights' belong to; auto = the input model's, or cifar10net.")
      .one_of(with_auto(learn::architectures()))
      .field("groups", &P::groups,
             "New classes in order, each with the dataset's classes that it holds (none, too); "
             "empty = the dataset's classes.")
      .field("freeze", &P::freeze,
             "Layers, by the beginning of their names, that stay as they are; [\"auto\"] = all but "
             "the last linear ones.")
      .field("reset", &P::reset, "Layers that begin anew; [\"auto\"] = the last linear ones.")
      .part(&P::recipe, RecipeParams::schema())
      .rule({is_wired("model") == true}, {Param("weights") == ""},
            "fine-tuning begins from one model: give either the input 'model' or the parameter "
            "'weights', not both")
      .rule({is_wired("model") == false}, {Param("weights") != ""},
            "fine-tuning needs a model to begin from: wire the input 'model' (inputs.model = "
            "\"train.model\" or \"run:latest/train.model\") or give a file as 'weights'");
  add_network_rules(schema);
  return schema;
}

}  // namespace cifarpipe

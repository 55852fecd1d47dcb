// A network with its tensors as a TorchScript module: parameters and buffers under their own names
// and a forward() that is written from the nodes. Stage's thread only.
#pragma once

#include <filesystem>
#include <string>

#include "stages/learn/model.hpp"
#include "stages/learn/model_file.hpp"

namespace cifarpipe {

/// Whether the module's forward() begins with (image - mean) / std is `normalise`. The same model
/// gives the same bytes.
void write_script_module(const std::filesystem::path& file, const learn::Model& model,
                         const learn::ModelInfo& info, bool normalise);

/// What the module in the file answers.
class ScriptModule {
 public:
  explicit ScriptModule(const std::filesystem::path& file);
  ~ScriptModule();
  ScriptModule(const ScriptModule&) = delete;
  ScriptModule& operator=(const ScriptModule&) = delete;
  at::Tensor forward(const at::Tensor& images);

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace cifarpipe

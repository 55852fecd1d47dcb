// The matrix as checked lists of values. Internal to the configuration; one thread.
#pragma once

#include <string>
#include <vector>

#include "pipeline/config_draft.hpp"

namespace cifarpipe::config {

/// What a path of the matrix names: a parameter of a stage, or a field of [pipeline].
struct Target {
  int stage = -1;  // Index into Draft::stages; -1: [pipeline].
  int field = 0;
  std::string path;  // In its short form.
  friend bool operator==(const Target& a, const Target& b) {
    return a.stage == b.stage && a.field == b.field;
  }
};

struct Choice {
  Value value;
  Mark mark;
};

struct Axis {
  Target target;
  Mark mark;  // Of the key.
  std::vector<Choice> values;
};

struct Assigned {
  Target target;
  Choice choice;
  Mark mark;  // Of the key.
};

/// One [[matrix.include]] or [[matrix.exclude]].
struct Combination {
  Mark mark;
  std::vector<Assigned> values;
};

struct Matrix {
  bool present = false;
  std::vector<Axis> axes;
  std::vector<Combination> includes;
  std::vector<Combination> excludes;
};

Matrix read_matrix(Context& context, const Node& tree, const Draft& draft);

const FieldInfo& field_of(const Draft& draft, const Target& target);

}  // namespace cifarpipe::config

// What is said about a dataset's duplicates: a list for programs, counts, a sentence, a sheet to
// look at. All of it is a function of what was found. One thread.
#pragma once

#include <filesystem>
#include <string>

#include "pipeline/stage.hpp"
#include "stages/learn/dataset_file.hpp"
#include "stages/preprocess/duplicates.hpp"

namespace cifarpipe::preprocess {

/// split,index,other_split,other_index,kind,distance,label,other_label: a line for each image and
/// each split in which it has a partner. `index` is the image's own in the source's order, `kind`
/// is exact or near, labels are numbers of classes.
std::string duplicates_csv(const Duplicates& duplicates);

/// {"distance": …, "images": {"test": {"train": {"exact": …, "near": …, "other_label": …}, …}, …}},
/// for the splits that the dataset has.
std::string duplicates_json(const Duplicates& duplicates, const learn::DatasetReader& data,
                            int distance);

/// "duplicates: of 10000 test images 290 have one in the training split (2 exact, 3 of another
/// label), 70 have one in their own split; of …", or that there are none. Each two splits once.
std::string duplicates_sentence(const Duplicates& duplicates, const learn::DatasetReader& data);

/// A warning where so many near-duplicates have two labels that they are hardly duplicates, else
/// "".
std::string duplicates_doubt(const Duplicates& duplicates);

/// Up to 100 pairs (25 of large images) side by side, evenly from the nearest to the furthest:
/// between test and training split if there are any, else of any splits. Nothing without pairs.
void draw_duplicates(const std::filesystem::path& png, const Duplicates& duplicates,
                     const learn::DatasetReader& data);

/// Searches the finished dataset of output `dataset`; writes duplicates.csv into it, and
/// duplicates.json and duplicates.png into output `preview`; reports and records the counts.
void report_duplicates(StageContext& context, int distance);

}  // namespace cifarpipe::preprocess

// The views of cifarpipe.db: what people query; docs/database.md explains them. The tables below
// them may change with a version, the views stay.
#pragma once

namespace cifarpipe {

extern const char* const kViews;      ///< SQL that creates them all.
extern const char* const kDropViews;  ///< SQL that removes those of an earlier version.

}  // namespace cifarpipe

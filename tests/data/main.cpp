#define BOOST_TEST_MODULE cifarpipe_data
#include <boost/test/unit_test.hpp>

#ifndef CCONTAINER_JSON_H
#define CCONTAINER_JSON_H

#include <json-c/json.h>
#include <string.h>

#define CCONTAINER_JSON_INLINE static inline __attribute__((always_inline, unused))

// The outcome of one parse: a null pointer is also the value null, so that `error` alone tells success.
struct ccontainer_json_parsed {
  struct json_object *value;
  enum json_tokener_error error;
};

// Parses the one value of a text that is known to be JSON.
CCONTAINER_JSON_INLINE struct ccontainer_json_parsed ccontainer_json_parse(const void *text, int count, int depth) {
  struct ccontainer_json_parsed parsed = {NULL, json_tokener_error_size};
  struct json_tokener *tokener = json_tokener_new_ex(depth);
  if (!tokener) return parsed;
  json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
  parsed.value = json_tokener_parse_ex(tokener, (const char *)text, count);
  parsed.error = json_tokener_get_error(tokener);
  if (parsed.error == json_tokener_continue) {
    // A bare number ends only with the text, which the terminating NUL announces.
    parsed.value = json_tokener_parse_ex(tokener, "", 1);
    parsed.error = json_tokener_get_error(tokener);
  }
  json_tokener_free(tokener);
  return parsed;
}

// Members of an object in the text's order.
CCONTAINER_JSON_INLINE const struct lh_entry *ccontainer_json_first(const struct json_object *object) {
  return json_object_get_object(object)->head;
}
CCONTAINER_JSON_INLINE const struct lh_entry *ccontainer_json_next(const struct lh_entry *entry) { return entry->next; }
CCONTAINER_JSON_INLINE const char *ccontainer_json_name(const struct lh_entry *entry) { return (const char *)entry->k; }
CCONTAINER_JSON_INLINE size_t ccontainer_json_name_length(const struct lh_entry *entry) {
  return strlen((const char *)entry->k);
}
CCONTAINER_JSON_INLINE struct json_object *ccontainer_json_value(const struct lh_entry *entry) {
  return (struct json_object *)(uintptr_t)entry->v;
}

#endif

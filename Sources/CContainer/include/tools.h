// Other programs and folder trees, for the tools beside launching.
#ifndef CCONTAINER_TOOLS_H
#define CCONTAINER_TOOLS_H

// Starts program `path` in folder `folder` with the given standard streams, in a process group of its own that dies with the calling
// thread. Returns its PID, or -1 with errno, also when the program cannot be executed.
int ccontainer_start_tool(const char *folder, const char *path, char *const *arguments, char *const *environment,
                          int in, int out, int err);

// Removes `path` and everything below it, following no link and leaving no file system. Returns 0, or -1 when something stays.
int ccontainer_remove_tree(const char *path);

// Gives `from` the name `to`; what had that name is named `from` afterwards. One step where the file system can do that.
int ccontainer_exchange(const char *from, const char *to);

// Makes a new folder whose name ends in six characters in place of the X's that `path` ends in.
int ccontainer_make_temporary_folder(char *path);

// The offset of `needle` in `bytes`, or -1.
long ccontainer_find(const void *bytes, unsigned long count, const void *needle, unsigned long length);

#endif

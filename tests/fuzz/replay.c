/* replay.c: runs a fuzz target over the files given, or over all files of the folders given,
 * without libFuzzer. Prints how many there were. A finding ends the process before that. */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>

static int n_inputs;

static void die(const char *path) {
    perror(path);
    exit(2);
}

static void replay_file(const char *path, size_t size) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    uint8_t *data = malloc(size);
    if (size && fread(data, 1, size, file) != size) die(path);
    fclose(file);
    /* The last line in a report says which file it was. */
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    n_inputs++;
}

static void replay(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) die(path);
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path, (size_t)st.st_size);
        return;
    }
    DIR *folder = opendir(path);
    if (!folder) die(path);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char inner[PATH_MAX];
        if (entry->d_name[0] == '.') continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= PATH_MAX) die(path);
        replay(inner);
    }
    closedir(folder);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) replay(argv[i]);
    printf("%d inputs\n", n_inputs);
    return 0;
}

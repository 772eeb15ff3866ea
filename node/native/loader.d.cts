declare const loader: {
  /** Loads the native module; the same one each time. */
  load(): unknown;
  /** The name of this platform's module. */
  platform(): string;
};
export = loader;
